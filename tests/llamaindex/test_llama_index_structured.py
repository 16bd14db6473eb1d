"""Objects instead of text: whole, growing, for threads and coroutines."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from index_fixtures import JOKE, Joke, demo_llm
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, Field, field_validator

from llamaherd import GrammarError, StructuredOutputError
from llamaherd.llama_index import LlamaCppLLM

ASK = PromptTemplate("Tell me a joke about {animal}.")


@pytest.fixture(scope="module")
def llm() -> LlamaCppLLM:
    return demo_llm()


async def test_all_four_ways_give_the_same_object(llm: LlamaCppLLM) -> None:
    found = llm.structured_predict(Joke, ASK, animal="cats")
    assert isinstance(found, Joke)
    assert "cat" in found.setup
    assert await llm.astructured_predict(Joke, ASK, animal="cats") == found
    growing = list(llm.stream_structured_predict(Joke, ASK, animal="cats"))
    agrowing = [
        each async for each in await llm.astream_structured_predict(Joke, ASK, animal="cats")
    ]
    assert growing[-1] == agrowing[-1] == found
    assert len(growing) == len(agrowing) > 10


def test_a_growing_object_shows_what_is_there(llm: LlamaCppLLM) -> None:
    growing = list(llm.stream_structured_predict(Joke, ASK, animal="cats"))
    setups = [getattr(each, "setup", None) or "" for each in growing]
    assert [len(s) for s in setups] == sorted(len(s) for s in setups)
    assert not isinstance(growing[0], Joke)  # its fields may still be missing
    assert isinstance(growing[-1], Joke)


def test_the_schema_holds_whatever_is_asked(llm: LlamaCppLLM) -> None:
    class Inner(BaseModel):
        level: int = Field(ge=1, le=5)
        kind: str = Field(pattern="^(a|b)$")

    class Outer(BaseModel):
        inner: Inner
        items: list[Literal["x", "y"]] = Field(min_length=2, max_length=2)

    found = llm.structured_predict(
        Outer, PromptTemplate("Hello!"), llm_kwargs={"temperature": 1.5, "seed": 4}
    )
    assert 1 <= found.inner.level <= 5
    assert len(found.items) == 2


# StructuredLLM writes the objects of a stream by a method that Pydantic deprecates.
@pytest.mark.filterwarnings("ignore:The `json` method:pydantic.PydanticDeprecationWarning")
def test_a_structured_model_answers_in_json(llm: LlamaCppLLM) -> None:
    structured = llm.as_structured_llm(Joke)
    response = structured.chat(JOKE)
    assert isinstance(response.raw, Joke)
    assert Joke.model_validate_json(str(response.message.content)) == response.raw
    assert structured.complete("Tell me a joke about birds.").raw == response.raw
    assert list(structured.stream_chat(JOKE))[-1].raw == response.raw


def test_prompts_of_several_messages_and_the_system_prompt_are_kept(llm: LlamaCppLLM) -> None:
    ask = ChatPromptTemplate([ChatMessage("Fill a JSON object.", role="system"), *JOKE])
    with_system = demo_llm(system_prompt="Be brief.")
    for model in (llm, with_system):
        assert isinstance(model.structured_predict(Joke, ask), Joke)
    extended = with_system._extend_messages(ask.format_messages())
    assert [m.role.value for m in extended] == ["system", "system", "user"]


def test_an_object_that_was_cut_off_is_an_error_with_its_text(llm: LlamaCppLLM) -> None:
    options: Any = {"llm_kwargs": {"max_tokens": 5}, "animal": "cats"}
    with pytest.raises(StructuredOutputError, match="'length'") as caught:
        llm.structured_predict(Joke, ASK, **options)
    assert caught.value.partial_text.startswith("{")
    with pytest.raises(StructuredOutputError, match="'length'"):
        list(llm.stream_structured_predict(Joke, ASK, **options))


def test_what_the_schema_cannot_say_is_an_error(llm: LlamaCppLLM) -> None:
    class Never(Joke):
        @field_validator("setup")
        @classmethod
        def refuse(cls, value: str) -> str:
            raise ValueError("never good enough")

    with pytest.raises(StructuredOutputError, match="never good enough"):
        llm.structured_predict(Never, ASK, animal="cats")


def test_a_schema_that_cannot_be_enforced_is_refused(llm: LlamaCppLLM) -> None:
    class Odd(BaseModel):
        text: str = Field(json_schema_extra={"not": {"const": "a"}})

    with pytest.raises(GrammarError):
        llm.structured_predict(Odd, ASK, animal="cats")


@pytest.mark.parametrize("mode", [PydanticProgramMode.FUNCTION, PydanticProgramMode.LLM])
async def test_the_other_ways_to_ask_are_still_there(mode: PydanticProgramMode) -> None:
    llm = demo_llm(pydantic_program_mode=mode)
    if mode is PydanticProgramMode.LLM:  # words alone bind nobody, so a grammar helps
        llm.json_schema = Joke.model_json_schema()
    assert isinstance(llm.structured_predict(Joke, ASK, animal="cats"), Joke)
    assert isinstance(await llm.astructured_predict(Joke, ASK, animal="cats"), Joke)
