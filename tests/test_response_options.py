"""What a call may ask of its response: token ids, progress, timings; and of its prompt."""

from __future__ import annotations

import pytest

from llamaherd import ChatTemplateError, Llama, OptionError

QUESTION = [{"role": "user", "content": "what is 3 plus 4?"}]


def test_token_ids_come_with_the_text(llm: Llama) -> None:
    whole = llm("The capital of", max_tokens=6, temperature=0, return_tokens=True)
    choice = whole["choices"][0]
    assert llm.detokenize(choice["tokens"]).decode() == choice["text"]
    stream = llm("The capital of", max_tokens=6, temperature=0, return_tokens=True, stream=True)
    streamed = [token for chunk in stream for token in chunk["choices"][0].get("tokens", [])]
    assert streamed == choice["tokens"]


def test_progress_is_told_while_a_prompt_is_read() -> None:
    with Llama("demo", n_threads=1, n_ctx=2048, n_batch=64, n_ubatch=64) as small:
        prompt = list(range(300, 500))
        chunks = [*small(prompt, max_tokens=2, stream=True, return_progress=True)]
    told = [chunk["prompt_progress"] for chunk in chunks if "prompt_progress" in chunk]
    assert [each["processed"] for each in told] == [64, 128, 192, 200]
    assert {(each["total"], each["cache"]) for each in told} == {(200, 0)}


def test_timings_come_with_every_piece_of_text(llm: Llama) -> None:
    chunks = [*llm("one two", max_tokens=4, temperature=0, stream=True, timings_per_token=True)]
    counts = [chunk["timings"]["predicted_n"] for chunk in chunks if "timings" in chunk]
    assert counts == sorted(counts)
    assert len(counts) >= 4


def test_a_prompt_may_be_read_anew(llm: Llama) -> None:
    prompt = "a b c d e f g h"
    llm(prompt, max_tokens=1)
    assert llm(prompt, max_tokens=1)["timings"]["cache_n"] > 0
    assert llm(prompt, max_tokens=1, cache_prompt=False)["timings"]["cache_n"] == 0


def test_prompts_can_be_limited(llm: Llama) -> None:
    with pytest.raises(OptionError, match="at most 3 tokens"):
        llm([300] * 4, max_prompt_tokens=3)
    assert llm([300] * 3, max_prompt_tokens=3, max_tokens=1)["choices"]


def test_the_beginning_of_the_answer_may_be_left_out(llm: Llama) -> None:
    with_it = llm.chat_tokens(QUESTION)
    assert with_it[: len(llm.chat_tokens(QUESTION, add_generation_prompt=False))] != with_it


def test_a_final_message_is_continued_or_not(llm: Llama) -> None:
    open_end = [*QUESTION, {"role": "assistant", "content": "3 plus"}]
    continued = llm.chat_tokens(open_end)
    assert llm.chat_tokens(open_end, continue_final_message=True) == continued
    hugging_face = llm.chat_tokens(
        open_end, continue_final_message=True, add_generation_prompt=False
    )
    assert hugging_face == continued
    answered = llm.chat_tokens(open_end, continue_final_message=False)
    assert len(answered) > len(continued)
    with pytest.raises(ChatTemplateError, match="continue_final_message"):
        llm.chat_tokens(QUESTION, continue_final_message=True)
