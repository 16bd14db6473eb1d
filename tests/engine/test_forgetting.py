"""Models whose memory cannot be cut back reuse prefixes through saved states; answers stay."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tiny_forgetting import FORGETTING

from llamaherd import ContextParams, Llama, UnsupportedError
from llamaherd.engine.plan import Plan, Slice
from llamaherd.engine.request import Request
from llamaherd.engine.runner import Runner
from llamaherd.model import Model

COMMON = list(range(10, 130))
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 12, "ignore_eos": True}


@pytest.fixture(scope="module", params=list(FORGETTING))
def model_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / f"{request.param}.gguf"
    path.write_bytes(FORGETTING[request.param]())
    return path


@pytest.fixture
def llm(model_file: Path) -> Iterator[Llama]:
    with Llama(model_file, n_ctx=1024, n_parallel=3, n_threads=1) as loaded:
        yield loaded


def _tokens(llm: Llama, prompt: list[int]) -> list[int]:
    return list(llm.generate(prompt, **GREEDY))


def test_a_third_prompt_begins_where_the_first_two_parted(llm: Llama) -> None:
    prompts = [COMMON + [200 + n] * 40 for n in range(3)]
    alone = []
    for prompt in prompts:
        llm.reset()
        alone.append(_tokens(llm, prompt))
    assert alone[0] != alone[1], "what was read must matter"
    llm.reset()
    before = llm.stats()
    together = [_tokens(llm, prompt) for prompt in prompts]
    assert together == alone
    after = llm.stats()
    assert after.cached_tokens - before.cached_tokens == len(COMMON)
    assert after.cache.misses["not_divisible"] - before.cache.misses.get("not_divisible", 0) == 1
    llm._engine._worker.check_integrity()


def test_the_next_turn_of_a_conversation_goes_on_from_the_last(llm: Llama) -> None:
    turn = [*COMMON, *_tokens(llm, COMMON), 7, 8, 9]
    before = llm.stats().prompt_tokens
    mine = _tokens(llm, turn)
    assert llm.stats().prompt_tokens - before <= 5
    llm.reset()
    assert _tokens(llm, turn) == mine


def test_a_prompt_asked_again_is_not_read_again(llm: Llama) -> None:
    first = _tokens(llm, COMMON)
    before = llm.stats().prompt_tokens
    assert _tokens(llm, COMMON) == first
    assert llm.stats().prompt_tokens - before == 8


def test_callers_who_come_together_share_a_saved_state(llm: Llama) -> None:
    prompts = [COMMON + [200 + n] * 40 for n in range(6)]
    alone = []
    for prompt in prompts:
        llm.reset()
        alone.append(_tokens(llm, prompt))
    llm.reset()
    before = llm.stats()
    with ThreadPoolExecutor(6) as callers:
        together = list(callers.map(lambda prompt: _tokens(llm, prompt), prompts))
    assert together == alone
    n_read = llm.stats().prompt_tokens - before.prompt_tokens
    assert n_read < 3 * len(COMMON) + 6 * 40


def test_without_memory_for_states_everything_is_read(model_file: Path) -> None:
    with Llama(model_file, n_ctx=1024, n_threads=1, cache_ram_mib=0) as llm:
        for n in range(3):
            _tokens(llm, COMMON + [200 + n] * 40)
        assert llm.stats().cached_tokens == 0
        assert llm.stats().cache.snapshots == 0


def test_an_aborted_step_spoils_nobody(llm: Llama) -> None:
    """Neither those that were computed, nor those that were left behind for a next turn."""

    def talk(prompt: list[int]) -> list[int]:
        first = _tokens(llm, prompt)
        return [*first, *_tokens(llm, [*prompt, *first, 7, 8, 9])]

    prompts = [[200 + n, *range(20 + n, 27 + 5 * n)] for n in range(6)]
    alone = [talk(prompt) for prompt in prompts]
    runner = llm._engine._runner
    run, n_steps = runner.run, itertools.count(1)

    def aborted_often(plan: Plan) -> list[int]:
        if not next(n_steps) % 9:
            runner.abort()
        return run(plan)

    runner.run = aborted_often  # type: ignore[method-assign]
    for _ in range(6):
        llm.reset()
        with ThreadPoolExecutor(3) as callers:
            assert list(callers.map(talk, prompts)) == alone
    llm._engine._worker.check_integrity()


def test_the_whole_cache_of_a_window_is_not_trusted(tmp_path: Path) -> None:
    """With swa_full, too, llama.cpp writes over what has left the window."""
    path = tmp_path / "sliding.gguf"
    path.write_bytes(FORGETTING["sliding"]())
    chance = random.Random(7)
    common = [[chance.randint(10, 200) for _ in range(60)] for _ in range(3)]
    prompts = [
        [*chance.choice(common)[: chance.randint(30, 60)], *range(40, 40 + chance.randint(1, 40))]
        for _ in range(40)
    ]
    options = {**GREEDY, "max_tokens": 40}
    with Llama(path, n_ctx=512, n_threads=1, swa_full=True, flash_attn=False) as llm:
        alone = []
        for prompt in prompts:
            llm.reset()
            alone.append(list(llm.generate(prompt, **options)))
        llm.reset()
        assert [list(llm.generate(prompt, **options)) for prompt in prompts] == alone


def test_guessing_ahead_is_refused(model_file: Path) -> None:
    with pytest.raises(UnsupportedError, match="cannot be cut back"):
        Llama(model_file, n_ctx=256, draft_model="prompt_lookup")


def _logits_behind(
    runner: Runner, texts: list[list[int]], chance: random.Random
) -> list[list[float]]:
    """Read the texts beside each other, in pieces of random length."""
    requests = [Request(text) for text in texts]
    found: dict[int, list[float]] = {}
    while len(found) < len(texts):
        slices, room = [], runner.n_batch
        for seq_id in chance.sample(range(len(texts)), len(texts)):
            request = requests[seq_id]
            n = min(chance.randint(1, 30), request.n_pending, room)
            if n:
                begin, request.n_cached = request.n_cached, request.n_cached + n
                tokens = request.tokens[begin : begin + n]
                slices.append(Slice(request, seq_id, begin, tokens, "last"))
                room -= n
        ends = runner.run(Plan((), (), tuple(slices)))
        for piece, row in zip(slices, ends, strict=True):
            if piece.catches_up:
                found[piece.seq_id] = runner.logits(row).tolist()
    return [found[seq_id] for seq_id in range(len(texts))]


def test_texts_read_in_pieces_beside_others_are_read_as_alone(model_file: Path) -> None:
    """Where a step of several parts would lose some of a window, it has only one."""
    chance = random.Random(4)
    texts = [[chance.randint(10, 70) for _ in range(chance.randint(150, 250))] for _ in range(4)]
    params = ContextParams(
        n_ctx=1024,
        n_parallel=4,
        n_batch=64,
        n_ubatch=16,
        n_threads=1,
        flash_attn=False,
        type_k="f32",
        type_v="f32",
    )
    with Model(model_file) as model, closing(Runner(model, params)) as runner:
        for _ in range(20):
            alone = []
            for text in texts:
                runner.clear()
                alone += _logits_behind(runner, [text], chance)
            runner.clear()
            together = _logits_behind(runner, texts, chance)
            for one, other in zip(alone, together, strict=True):
                assert other == pytest.approx(one, abs=1e-3)
