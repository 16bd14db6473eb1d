"""LlamaCpp: text in, text out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.prompts import PromptTemplate

from llamaherd import Llama, OptionError
from llamaherd.langchain import LlamaCpp

pytestmark = pytest.mark.usefixtures("demo")
PROMPT = "<|im_start|>user\nwhat is 25x5<|im_end|>\n<|im_start|>assistant\n"


def model(**options: Any) -> LlamaCpp:
    """The demo model at temperature 0."""
    return LlamaCpp(**{"model_path": "demo", "n_threads": 1, "temperature": 0, **options})


def test_goes_on_from_a_text() -> None:
    assert model().invoke(PROMPT) == "25 x 5 = 125"


async def test_coroutines_get_the_same() -> None:
    assert await model().ainvoke(PROMPT) == "25 x 5 = 125"


def test_streams() -> None:
    pieces = list(model().stream(PROMPT))
    assert len(pieces) > 5
    assert "".join(pieces) == "25 x 5 = 125"


async def test_streams_to_coroutines() -> None:
    assert "".join([piece async for piece in model().astream(PROMPT)]) == "25 x 5 = 125"


def test_works_in_a_chain() -> None:
    chain = PromptTemplate.from_template(PROMPT.replace("25x5", "{sum}")) | model()
    assert chain.invoke({"sum": "3 x 4"}) == "3 x 4 = 12"


def test_many_prompts_are_one_batch() -> None:
    llm = model()
    llama = llm._llama()
    assert isinstance(llama, Llama)
    before = llama.stats()
    texts = llm.batch([*(PROMPT.replace("25x5", f"{i} x 3") for i in range(1, 9))] * 2)
    after = llama.stats()
    assert texts[:2] == ["1 x 3 = 3", "2 x 3 = 6"]
    generated = after.generated_tokens - before.generated_tokens
    assert after.steps - before.steps < generated / 4


def test_results_belong_to_their_prompts() -> None:
    prompts = [PROMPT.replace("25x5", f"{i} x 3") for i in (2, 4)]
    result = model().generate(prompts, n=2)
    texts = [[each.text for each in several] for several in result.generations]
    assert texts == [["2 x 3 = 6"] * 2, ["4 x 3 = 12"] * 2]
    assert result.llm_output is not None
    assert result.llm_output["model_name"] == "demo"


def test_tells_how_it_ended() -> None:
    result = model(logprobs=1, max_tokens=3).generate([PROMPT])
    info = result.generations[0][0].generation_info
    assert info is not None
    assert info["finish_reason"] == "length"
    assert len(info["logprobs"]["tokens"]) == 3


def test_options() -> None:
    assert model(echo=True).invoke(PROMPT).endswith("25 x 5 = 125")
    assert model(stop=["="]).invoke(PROMPT) == "25 x 5 "
    assert model().invoke(PROMPT, stop=["x"]) == "25 "
    assert model(grammar='root ::= "yes"').invoke(PROMPT) == "yes"


def test_fills_gaps() -> None:
    before, after = "def add(a, b):\n    return ", "\n"
    assert model(suffix=after, max_tokens=16).invoke(before).strip() == "a + b"
    assert model(max_tokens=16).invoke(before, suffix=after).strip() == "a + b"


def test_errors_are_of_both_families() -> None:
    with pytest.raises(ContextOverflowError):
        model(n_ctx=64).invoke("word " * 500)
    with pytest.raises(OptionError, match="n=2"):
        list(model().stream(PROMPT, n=2))


def test_counts_tokens() -> None:
    assert model().get_num_tokens("25") == 2


async def test_leaving_a_stream_ends_the_answer() -> None:
    llm = model()
    llama = await asyncio.to_thread(llm._llama)
    assert isinstance(llama, Llama)
    before = llama.stats().finished.get("cancelled", 0)
    stream = llm.astream("Hello", ignore_eos=True)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    for _ in range(2000):
        if llama.stats().finished.get("cancelled", 0) == before + 1:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it was not cancelled")
