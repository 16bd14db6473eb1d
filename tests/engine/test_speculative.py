"""Guessing ahead: answers stay what they are, repetition pays, and failing costs little."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import spm_vocabulary, tiny_llama

from llamaherd import ContextParams, Llama, UnsupportedError
from llamaherd.engine.draft import DraftModel
from llamaherd.engine.pace import StepCosts
from llamaherd.engine.request import Request
from llamaherd.engine.speculative import MOST_PROPOSED, PromptLookup, Speculation
from llamaherd.model import Model

GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 48, "ignore_eos": True}
PROMPTS = [
    "one two three one two three one two three one two",
    "<|im_start|>user\nTell me a joke about birds.<|im_end|>\n<|im_start|>assistant\n",
    "def add(a, b):\n    return a + b\n\ndef add(a, b):\n",
]


def _speculation(*seconds: float) -> Speculation:
    """With steps of 1, 2, ... tokens that took so long."""
    costs = StepCosts()
    for n, each in enumerate(seconds, 1):
        costs.observe(n, each)
    return Speculation(PromptLookup(), costs)


def _repeating(n: int = 40) -> Request:
    return Request([1, 2, 3, 4] * (n // 4))


def test_what_followed_the_same_tokens_is_proposed() -> None:
    lookup = PromptLookup()
    request = Request([1, 2, 3, 4, 5, 1, 2, 3])
    assert lookup.propose([(request, 2)]) == [[4, 5]]
    request.tokens += [4, 9, 9]
    assert lookup.propose([(request, 2)]) == [[]]
    request.tokens += [2, 3, 4]
    assert lookup.propose([(request, 1)]) == [[9]], "the latest occurrence counts"


def test_guesses_are_as_many_as_pay() -> None:
    dear, cheap = _speculation(1.0, 2.0, 3.0, 4.0), _speculation(1.0, 1.01, 1.02, 1.03)
    for speculation in (dear, cheap):
        request = _repeating()
        speculation.propose([request], n_ctx=1000)
        assert bool(request.proposal) == (speculation is cheap)
        assert len(request.proposal) <= MOST_PROPOSED


def test_guesses_never_reach_beyond_the_context_or_the_limit() -> None:
    speculation = _speculation(1.0, 1.0, 1.0, 1.0)
    full, limited = _repeating(), Request([1, 2, 3, 4] * 10, max_tokens=2)
    speculation.propose([full, limited], n_ctx=42)
    assert len(full.proposal) <= 1
    assert len(limited.proposal) <= 1


def test_a_request_whose_guesses_fail_is_left_alone_longer_and_longer() -> None:
    speculation = _speculation(1.0, 1.0, 1.0, 1.0)
    request = _repeating()
    tried = []
    for step in range(200):
        request.proposal = []
        speculation.propose([request], n_ctx=1000)
        if request.proposal:
            tried.append(step)
            speculation.observe(request, len(request.proposal), 0)
    gaps = [later - earlier for earlier, later in itertools.pairwise(tried)]
    assert gaps == sorted(gaps)
    assert len(tried) < 7


class _Model:
    """Guesses zeros, each of which takes a third of a step."""

    likely, steady, most, follower = 1.0, True, 3, None

    def seconds(self, n_guesses: int) -> float:
        return n_guesses / 3

    def propose(self, asked: Sequence[tuple[Request, int]]) -> list[list[int]]:
        return [[0] * most for _, most in asked]

    def forget(self, request: Request) -> None:
        pass

    def close(self) -> None:
        pass


def _guessed(
    speculation: Speculation, requests: list[Request], n_steps: int, *, true: bool
) -> list[list[int]]:
    """How many tokens each request guessed in each step, all of which come true or none."""
    found = []
    for _ in range(n_steps):
        speculation.propose(requests, n_ctx=10_000)
        found.append([len(request.proposal) for request in requests])
        for request in requests:
            if n := len(request.proposal):
                speculation.observe(request, n, n if true else 0)
            request.proposal = []
    return found


def _by_model(**options: Any) -> Speculation:
    costs = StepCosts()
    for n in (1, 2, 4, 8, 16):
        costs.observe(n, 1 + n / 16)
    return Speculation(_Model(), costs, **options)


def test_a_model_whose_guesses_never_come_true_is_hardly_asked() -> None:
    speculation = _by_model()
    first = _guessed(speculation, [Request([1, 2])], 300, true=False)
    assert sum(map(sum, first)) < 40
    second = _guessed(speculation, [Request([1, 2])], 1000, true=False)
    assert 1 <= sum(map(sum, second)) < 12, "it begins with what the first request showed"


def test_a_model_whose_guesses_begin_to_come_true_is_asked_again() -> None:
    speculation = _by_model()
    _guessed(speculation, [Request([1, 2])], 100, true=False)
    found = _guessed(speculation, [Request([1, 2])], 4000, true=True)
    assert found[-1000:].count([3]) > 950
    assert [3] in _guessed(speculation, [Request([1, 2])], 2, true=True)


def test_what_plain_steps_take_stays_known() -> None:
    speculation = _by_model()
    found = _guessed(speculation, [Request([1, 2])], 320, true=True)
    assert found.count([0]) == 10


def test_who_cannot_hope_for_guesses_does_not_keep_others_from_them() -> None:
    speculation = _by_model()
    good, bad = Request([1]), Request([2])
    for _ in range(60):
        speculation.propose([good, bad], n_ctx=10_000)
        for request in (good, bad):
            if n := len(request.proposal):
                speculation.observe(request, n, n if request is good else 0)
            request.proposal = []
    speculation.propose([good, bad], n_ctx=10_000)
    assert len(good.proposal) > 0
    assert len(bad.proposal) <= 1


def test_requests_that_must_guess_alike_are_tried_together() -> None:
    speculation = _by_model(alike=True)
    requests = [Request([n]) for n in range(4)]
    found = _guessed(speculation, requests, 600, true=False)
    assert all(len(set(each)) == 1 for each in found)
    assert 1 <= sum(each[0] for each in found[100:]) < 5


def test_one_slow_step_does_not_decide_for_ever() -> None:
    costs = StepCosts()
    costs.observe(4, 60.0)
    costs.observe(4, 1.0)
    assert costs.seconds(4) == 1.0
    costs.observe(4, 60.0)
    assert costs.seconds(4) == pytest.approx(1.2)


@pytest.fixture(scope="module")
def plain() -> Iterator[Llama]:
    with Llama("demo", n_ctx=2048, n_threads=1) as llm:
        yield llm


@pytest.fixture(scope="module", params=["prompt_lookup", "demo"])
def guessing(request: pytest.FixtureRequest) -> Iterator[Llama]:
    """With passages of the text, and with the model itself, which is always right."""
    with Llama("demo", n_ctx=2048, n_threads=1, draft_model=request.param) as llm:
        yield llm


@pytest.mark.parametrize("options", [{}, {"temperature": 0.8, "seed": 3, "top_k": 5}])
def test_answers_are_the_same_with_guessing(
    plain: Llama, guessing: Llama, options: dict[str, Any]
) -> None:
    for prompt in PROMPTS:
        answers = [
            llm(prompt, **{**GREEDY, **options})["choices"][0]["text"] for llm in (plain, guessing)
        ]
        assert answers[0] == answers[1]
    guessing._engine._worker.check_integrity()


def test_many_callers_get_the_same_answers_with_guessing(plain: Llama, guessing: Llama) -> None:
    alone = [plain(prompt, **GREEDY)["choices"][0]["text"] for prompt in PROMPTS]
    with ThreadPoolExecutor(len(PROMPTS)) as callers:
        answers = list(callers.map(lambda p: guessing(p, **GREEDY)["choices"][0]["text"], PROMPTS))
    assert answers == alone
    guessing._engine._worker.check_integrity()


def test_a_draft_model_proposes_what_it_would_say(plain: Llama) -> None:
    params = ContextParams(n_ctx=512, n_batch=32, n_threads=1)
    prompts = [plain.tokenize(prompt, special=True) for prompt in PROMPTS]
    expected = [list(plain.generate(p, temperature=0, max_tokens=8)) for p in prompts]
    with Model("demo") as target:
        draft = DraftModel(Model("demo"), target, params)
        requests = [Request(prompt) for prompt in prompts]
        found = draft.propose([(request, 8) for request in requests])
        assert [f[: len(e)] for f, e in zip(found, expected, strict=True)] == expected
        assert all(map(target.vocab.is_end, (f[-1] for f in found if len(f) < 8)))
        for request, said in zip(requests, expected, strict=True):
            request.tokens += said[:3]
        found = draft.propose([(request, 1) for request in requests])
        assert found == [e[3:4] for e in expected]
        draft.forget(requests[0])
        assert draft.propose([(Request(prompts[0]), 8)]) == [expected[0]]
        draft.close()


def test_a_draft_model_that_fails_proposes_nothing_and_recovers(plain: Llama) -> None:
    prompt = plain.tokenize(PROMPTS[1], special=True)
    with Model("demo") as target:
        draft = DraftModel(Model("demo"), target, ContextParams(n_ctx=512, n_threads=1))
        decode = draft._runner._decode
        draft._runner._decode = lambda *_: -3
        request = Request(prompt)
        assert draft.propose([(request, 4)]) == [[]]
        draft._runner._decode = decode
        expected = list(plain.generate(prompt, temperature=0, max_tokens=4))
        assert draft.propose([(request, 4)]) == [expected]
        draft.close()


def test_every_token_comes_from_a_step_or_from_a_guess_that_came_true() -> None:
    with Llama("demo", n_ctx=1024, n_threads=1, draft_model="prompt_lookup") as llm:
        for prompt in PROMPTS:
            llm(prompt, **{**GREEDY, "max_tokens": 200})
        stats = llm.stats()
    assert stats.steps + stats.accepted_tokens == stats.generated_tokens
    assert stats.accepted_tokens <= stats.proposed_tokens


def test_stops_logprobs_and_limits_hold_inside_a_guess(plain: Llama, guessing: Llama) -> None:
    for options in ({"stop": ["e"]}, {"logprobs": 2}, {"max_tokens": 7}):
        one, other = (llm(PROMPTS[0], **{**GREEDY, **options}) for llm in (plain, guessing))
        assert one["choices"][0]["text"] == other["choices"][0]["text"]
        assert one["choices"][0]["finish_reason"] == other["choices"][0]["finish_reason"]
        assert one["usage"]["completion_tokens"] == other["usage"]["completion_tokens"]


def test_a_draft_model_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(tiny_llama(spm_vocabulary()).data)
    with pytest.raises(UnsupportedError, match="vocabularies differ"):
        Llama("demo", n_ctx=256, draft_model=path)
