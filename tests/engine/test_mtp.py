"""Guessing by a model's own multi-token-prediction layers: right guesses, and the same answers."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
import tiny_mtp
from tiny_forgetting import FORGETTING

from llamaherd import ContextParams, Llama, ModelParams, UnsupportedError
from llamaherd.engine.mtp import MtpLayers
from llamaherd.engine.pace import StepCosts
from llamaherd.engine.plan import Plan
from llamaherd.engine.request import Request
from llamaherd.engine.runner import Runner
from llamaherd.engine.speculative import Speculation
from llamaherd.engine.worker import Worker
from llamaherd.errors import DecodeError
from llamaherd.model import Model
from llamaherd.native import bindings as c
from llamaherd.native import nextn

MODELS = {
    "plain": tiny_mtp.plain,
    "hybrid": tiny_mtp.hybrid,
    "sliding": tiny_mtp.sliding,
    "foreseeing": tiny_mtp.foreseeing,
}
# Random weights leave the two likeliest tokens close together: nothing may be rounded.
EXACT: dict[str, Any] = {
    "n_threads": 1, "n_ctx": 1024, "flash_attn": False, "type_k": "f32", "type_v": "f32",
}  # fmt: skip
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 40, "ignore_eos": True}


def _prompts(n_common: int = 40) -> list[list[int]]:
    """Some begin alike."""
    chance = random.Random(1)

    def some(n: int) -> list[int]:
        return [chance.randint(tiny_mtp.FIRST, tiny_mtp.LAST) for _ in range(n)]

    common = some(n_common)
    return [some(3), some(150), *(common + some(n) for n in (1, 5, 30)), some(40), some(8)]


class _Free(StepCosts):
    """Steps that cost the same however many tokens they check."""

    most_to_try = 64

    def seconds(self, n_tokens: int) -> float:
        return 1.0


def _worker(llm: Llama) -> Worker:
    return llm._engine._worker


def _speculation(llm: Llama) -> Speculation:
    speculation = _worker(llm)._speculation
    assert speculation is not None
    return speculation


def _layers(llm: Llama) -> MtpLayers:
    return cast(MtpLayers, _speculation(llm).proposer)


def _guessing(path: Path, **options: Any) -> Llama:
    """Guesses as much as it can, whatever that costs here."""
    llm = Llama(path, draft_model="mtp", **{**EXACT, **options})
    _speculation(llm).costs = _Free()
    _layers(llm)._costs.observe(1, 0.0)
    _layers(llm)._costs.observe = lambda *_: None  # type: ignore[method-assign]
    return llm


def _answers(llm: Llama, prompts: list[list[int]], **options: Any) -> list[list[int]]:
    """All at once."""
    with ThreadPoolExecutor(len(prompts)) as callers:
        return list(callers.map(lambda p: list(llm.generate(p, **{**GREEDY, **options})), prompts))


def _check(llm: Llama) -> None:
    """The layers' memory and what they have yet to read are where the model's memory is."""
    _worker(llm).check_integrity()
    layers, runner = _layers(llm), llm._engine._runner
    for seq_id, unread in layers._unread.items():
        assert len(unread.hidden) == len(unread.tokens) + 1
        assert c.llama_memory_seq_pos_max(layers._memory, seq_id) < unread.start
        if not unread.start:
            continue
        assert unread.stop >= runner.n_resident(seq_id), f"sequence {seq_id} was not followed"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    paths = {name: folder / f"{name}.gguf" for name in MODELS}
    for name, path in paths.items():
        path.write_bytes(MODELS[name]())
    return paths


@pytest.fixture(params=list(MODELS))
def model_file(request: pytest.FixtureRequest, files: dict[str, Path]) -> Path:
    return files[request.param]


def _alone(path: Path, prompts: list[list[int]], **options: Any) -> list[list[int]]:
    with Llama(path, **EXACT) as llm:
        return [list(llm.generate(prompt, **{**GREEDY, **options})) for prompt in prompts]


def test_answers_are_those_of_the_model_alone(model_file: Path) -> None:
    prompts = _prompts()
    alone = _alone(model_file, prompts)
    with _guessing(model_file, n_batch=64, n_ubatch=32) as llm:
        for _ in range(3):  # from an empty memory, then from what is left in it
            assert _answers(llm, prompts) == alone
            _check(llm)
        stats = llm.stats()
    assert stats.proposed_tokens > 0
    assert stats.cached_tokens > 0
    assert stats.steps < stats.generated_tokens


def test_drawn_answers_are_those_of_the_model_alone(model_file: Path) -> None:
    prompts, options = _prompts(), {"temperature": 0.8, "seed": 5}
    alone = _alone(model_file, prompts, **options)
    with _guessing(model_file) as llm:
        assert _answers(llm, prompts, **options) == alone
        assert llm.stats().proposed_tokens > 0


def test_layers_that_know_are_always_right(files: dict[str, Path]) -> None:
    """They are right only where each gets the hidden state of its own sequence, one token back."""
    # Prompts are read at once: how long they hold guesses up would be a matter of time.
    with _guessing(files["foreseeing"], prefill_limit=1024) as llm:
        first = list(llm.generate([20, 21, 22], **GREEDY))
        assert first == list(range(23, 63))
        stats = llm.stats()
        assert stats.accepted_tokens == stats.proposed_tokens > 30
        assert stats.steps < 8
        _answers(llm, _prompts())
        stats = llm.stats()
    assert stats.accepted_tokens == stats.proposed_tokens > 200


def test_guesses_do_not_depend_on_how_a_prompt_was_read(files: dict[str, Path]) -> None:
    """Random layers of attention guess the same where they have read the same."""
    found = []
    for options in ({}, {"n_batch": 16, "n_ubatch": 8}):
        said: list[list[int]] = []
        with _guessing(files["plain"], **options) as llm:
            layers = _layers(llm)
            propose = layers.propose

            def noting(
                asked: Sequence[tuple[Request, int]],
                propose: Callable[..., list[list[int]]] = propose,
                said: list[list[int]] = said,
            ) -> list[list[int]]:
                said += propose(asked)
                return said[-len(asked) :]

            layers.propose = noting  # type: ignore[method-assign]
            list(llm.generate(_prompts()[1], **GREEDY))
        found.append([guessed[:4] for guessed in said])
    assert found[0] == found[1]
    assert len(found[0]) > 2


def test_answers_hold_when_memory_runs_out(files: dict[str, Path]) -> None:
    prompts = _prompts() * 2
    alone = _alone(files["plain"], prompts)
    with _guessing(files["plain"], n_ctx=256) as llm:
        assert _answers(llm, prompts) == alone
        stats = llm.stats()
        _check(llm)
    assert stats.preempted > 0
    assert stats.proposed_tokens > 0


@pytest.mark.parametrize("name", ["plain", "hybrid", "sliding"])
def test_answers_hold_when_others_are_cancelled(files: dict[str, Path], name: str) -> None:
    """An abort in the middle of a step leaves no state that was rolled back too far."""
    prompts, chance = _prompts(), random.Random(2)
    alone = _alone(files[name], prompts)
    with _guessing(files[name], n_ubatch=16) as llm:

        def leave() -> None:
            stream = llm.create_completion(prompts[1] * 5, stream=True, **GREEDY)
            for _ in range(chance.randint(0, 2)):
                next(stream)
            stream.close()

        with ThreadPoolExecutor(2) as leavers:
            for _ in range(4):
                left = [leavers.submit(leave) for _ in range(6)]
                assert _answers(llm, prompts) == alone
                for each in left:
                    each.result()
        list(llm.generate(prompts[0], max_tokens=1))  # by its end those who left are gone
        _check(llm)


def test_answers_hold_when_others_leave_before_their_guesses_are_checked(
    files: dict[str, Path],
) -> None:
    prompts = _prompts()
    alone = _alone(files["hybrid"], prompts)
    with _guessing(files["hybrid"]) as llm:
        runner = llm._engine._runner
        run, n_checked = runner.run, itertools.count(1)

        def leaving(plan: Plan) -> list[int]:
            ends = run(plan)
            for piece in plan.slices:
                if piece.n_guessed and not next(n_checked) % 5:
                    piece.request.ending = "cancelled"
            return ends

        runner.run = leaving  # type: ignore[method-assign]
        for _ in range(3):
            for whole, cut_off in zip(alone, _answers(llm, prompts), strict=True):
                assert cut_off == whole[: len(cut_off)]
        runner.run = run  # type: ignore[method-assign]
        assert llm.stats().finished["cancelled"] > 2
        assert _answers(llm, prompts) == alone
        _check(llm)


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("name", ["hybrid", "sliding"])
def test_states_go_back_to_the_last_guess_that_came_true(
    files: dict[str, Path], name: str, alike: bool
) -> None:
    """Also where requests guess differently much: the scheduler does not let them."""
    prompts, chance, wrong = _prompts(), random.Random(3), 200
    alone = _alone(files[name], prompts)
    said = {tuple(prompt): answer for prompt, answer in zip(prompts, alone, strict=True)}

    def propose(asked: Sequence[tuple[Request, int]]) -> list[list[int]]:
        found = []
        for request, most in asked:
            right = said[tuple(request.prompt)][request.n_generated :][: chance.randint(0, 3)]
            found.append([*right, *[wrong] * 3][: chance.choice([most, most, 1])])
        return found

    with _guessing(files[name]) as llm:
        assert _speculation(llm).alike
        _speculation(llm).alike = alike
        _layers(llm).propose = propose  # type: ignore[method-assign]
        for _ in range(8):
            assert _answers(llm, prompts) == alone
        assert 0 < llm.stats().accepted_tokens < llm.stats().proposed_tokens
        _worker(llm).check_integrity()


def test_a_failure_of_the_layers_is_nobodys_failure(files: dict[str, Path]) -> None:
    prompts = _prompts()
    with _guessing(files["foreseeing"]) as llm:
        alone = _answers(llm, prompts)
        layers = _layers(llm)
        decode, n_failed = layers._decode, 0

        def fail() -> None:
            nonlocal n_failed
            n_failed += 1
            if n_failed % 3 == 0:
                raise DecodeError(-3, "injected")
            decode()

        layers._decode = fail  # type: ignore[method-assign]
        llm.reset()
        assert _answers(llm, prompts) == alone
        layers._decode = decode  # type: ignore[method-assign]
        assert n_failed > 3
        before = llm.stats()
        assert _answers(llm, prompts) == alone
        after = llm.stats()
        assert after.accepted_tokens - before.accepted_tokens > 50
        _check(llm)


def test_the_first_of_several_layers_guesses(tmp_path: Path) -> None:
    path = tmp_path / "two.gguf"
    path.write_bytes(tiny_mtp.plain(n_layers=2))
    alone = _alone(path, _prompts())
    with _guessing(path) as llm:
        assert _answers(llm, _prompts()) == alone
        assert llm.stats().proposed_tokens > 0


def test_small_batches_will_do(model_file: Path) -> None:
    prompts = _prompts()[:4]
    alone = _alone(model_file, prompts)
    with _guessing(model_file, n_batch=1, n_ubatch=1) as llm:
        assert _answers(llm, prompts) == alone


def test_a_model_without_such_layers_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="multi-token-prediction layers: it has none"):
        Llama("demo", n_ctx=256, draft_model="mtp")


def test_layers_that_were_not_loaded_are_refused(files: dict[str, Path]) -> None:
    with Model(files["plain"]) as model, pytest.raises(UnsupportedError, match="load_mtp=True"):
        model.check_has_mtp()


def test_a_llama_cpp_that_hands_nothing_over_is_refused(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    nextn._functions.cache_clear()
    monkeypatch.setitem(nextn._NAMES, "row", "?llama_get_embeddings_nextn_ith@@YAPEAM")
    try:
        with pytest.raises(UnsupportedError, match="does not hand their input over"):
            Llama(files["plain"], n_ctx=256, draft_model="mtp")
    finally:
        monkeypatch.undo()
        nextn._functions.cache_clear()


def test_a_state_that_cannot_go_back_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "recurrent.gguf"
    path.write_bytes(FORGETTING["recurrent"]())
    params = ContextParams(n_ctx=256, n_threads=1)
    with Model(files["hybrid"], ModelParams(load_mtp=True)) as model, Model(path) as other:
        layers = MtpLayers(model, params)
        with pytest.raises(UnsupportedError, match="cannot cut its memory back"):
            Runner(other, params, follower=layers)
        layers.close()
