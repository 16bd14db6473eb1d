"""ChatLlamaCpp: answers that are instances of a schema, by all three methods."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from llamaherd import OptionError
from llamaherd.langchain import ChatLlamaCpp

pytestmark = pytest.mark.usefixtures("demo")

Method = Literal["function_calling", "json_mode", "json_schema"]
METHODS: list[Method] = ["function_calling", "json_schema", "json_mode"]
QUESTION = (
    "Tell me a joke about cats. Return the result as a JSON with 'setup' and 'punchline' keys. "
    "Return nothing other than JSON."
)


class Joke(BaseModel):
    """Joke to tell user."""

    setup: str = Field(description="question to set up a joke")
    punchline: str = Field(description="answer to resolve the joke")


class JokeDict(TypedDict):
    """Joke to tell user."""

    setup: Annotated[str, ..., "question to set up a joke"]
    punchline: Annotated[str, ..., "answer to resolve the joke"]


@pytest.fixture
def llm() -> ChatLlamaCpp:
    return ChatLlamaCpp(model_path="demo", n_threads=1, temperature=0, max_tokens=128)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("strict", [None, True, False])
def test_a_class_gives_objects(llm: ChatLlamaCpp, method: Method, strict: bool | None) -> None:
    structured = llm.with_structured_output(Joke, method=method, strict=strict)
    joke = structured.invoke(QUESTION)
    assert isinstance(joke, Joke)
    assert joke.setup


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "schema",
    [JokeDict, Joke.model_json_schema(), convert_to_openai_tool(Joke)],
    ids=["TypedDict", "JSON schema", "tool"],
)
def test_other_schemas_give_dictionaries(llm: ChatLlamaCpp, method: Method, schema: Any) -> None:
    joke = llm.with_structured_output(schema, method=method).invoke(QUESTION)
    assert isinstance(joke, dict)
    assert set(joke) == {"setup", "punchline"}


@pytest.mark.parametrize("method", METHODS)
async def test_coroutines_and_streams(llm: ChatLlamaCpp, method: Method) -> None:
    structured = llm.with_structured_output(JokeDict, method=method)
    expected = await structured.ainvoke(QUESTION)
    pieces = [piece async for piece in structured.astream(QUESTION)]
    assert len(pieces) > 2
    assert pieces[-1] == expected


@pytest.mark.parametrize("method", METHODS)
def test_with_the_raw_answer(llm: ChatLlamaCpp, method: Method) -> None:
    structured = llm.with_structured_output(Joke, method=method, include_raw=True)
    found = structured.invoke(QUESTION)
    assert isinstance(found, dict)
    assert isinstance(found["raw"], AIMessage)
    assert isinstance(found["parsed"], Joke)
    assert found["parsing_error"] is None


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_an_answer_that_was_cut_off_is_told_beside_it(llm: ChatLlamaCpp, method: Method) -> None:
    short = llm.model_copy(update={"max_tokens": 4})
    found = short.with_structured_output(Joke, method=method, include_raw=True).invoke(QUESTION)
    assert isinstance(found, dict)
    assert found["parsed"] is None
    assert isinstance(found["parsing_error"], Exception)


def test_json_mode_needs_no_schema(llm: ChatLlamaCpp) -> None:
    found = llm.with_structured_output(method="json_mode").invoke(QUESTION)
    assert isinstance(found, dict)


def test_json_mode_as_an_option_of_a_call(llm: ChatLlamaCpp) -> None:
    message = llm.invoke(QUESTION, response_format={"type": "json_object"})
    assert isinstance(json.loads(str(message.content)), dict)


def test_a_schema_holds_whatever_the_model_would_say(llm: ChatLlamaCpp) -> None:
    class Verdict(BaseModel):
        verdict: Literal["good", "bad"]
        points: int = Field(ge=0, le=9)

    found = llm.with_structured_output(Verdict, method="json_schema").invoke("Hello")
    assert isinstance(found, Verdict)


def test_tools_beside_a_schema(llm: ChatLlamaCpp) -> None:
    @tool
    def magic_function(input: int) -> int:  # noqa: A002
        """Apply a magic function to an input."""
        return input + 2

    structured = llm.with_structured_output(
        Joke, method="json_schema", tools=[magic_function], include_raw=True
    )
    found = structured.invoke("What is the value of magic_function(3)? Use the tool.")
    assert isinstance(found, dict)
    assert found["raw"].tool_calls[0]["args"] == {"input": 3}
    with pytest.raises(OptionError, match="include_raw"):
        llm.with_structured_output(Joke, method="json_schema", tools=[magic_function])


def test_what_does_not_go_together_is_refused(llm: ChatLlamaCpp) -> None:
    with pytest.raises(OptionError, match="method='magic'"):
        llm.with_structured_output(Joke, method="magic")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="schema"):
        llm.with_structured_output(None)
