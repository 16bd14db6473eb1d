"""``llamaherd bench``: that it measures what it says, not how fast."""

from __future__ import annotations

import json

import pytest
from cli_program import ONE_THREAD, Program, program

from llamaherd.cli.bench_case import BenchCase, BenchResult

__all__ = ["program"]

SMALL = ("--prompt-tokens", "16", "--gen-tokens", "4", "--batches", "1,2", *ONE_THREAD)


def test_machines_get_every_sample(program: Program) -> None:
    done = program("bench", "demo", *SMALL, "-r", "2", "--json")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert report["threads"] == 1
    assert report["library"].startswith("llama.cpp ")
    assert [r["test"] for r in report["results"]] == ["pp16", "tg4", "tg4 x 2"]
    for result in report["results"]:
        assert len(result["samples"]) == 2
        assert result["tokens_per_second"] == pytest.approx(sum(result["samples"]) / 2)
        assert min(result["samples"]) > 0


def test_people_get_a_table(program: Program) -> None:
    done = program("bench", "demo", *SMALL, "-r", "1")
    rows = [line.split() for line in done.out.splitlines()]
    assert ["test", "tokens/s", "spread", "for", "each"] in rows
    assert [row[0] for row in rows if row and row[0].startswith(("pp", "tg"))] == [
        "pp16", "tg4", "tg4",
    ]  # fmt: skip


def test_cases_may_be_left_out(program: Program) -> None:
    done = program("bench", "demo", "--prompt-tokens", "0", "--gen-tokens", "2", "--batches", "",
                   "-r", "1", "--json", *ONE_THREAD)  # fmt: skip
    assert [r["test"] for r in json.loads(done.out)["results"]] == ["tg2"]


def test_a_result_has_mean_and_spread() -> None:
    case = BenchCase("tg4 x 2", 0, 4, 2)
    assert case.n_tokens == 8
    assert BenchResult(case, [1.0, 3.0]).mean == 2.0
    assert BenchResult(case, [1.0, 3.0]).spread == pytest.approx(2**0.5)
    assert BenchResult(case, [1.0]).spread == 0.0
