"""``llamaherd info``: facts, memory and template abilities from a file's header."""

from __future__ import annotations

import json
import logging
import re
from array import array
from pathlib import Path

import pytest
from cli_program import Program, program, run_process
from tiny_gguf import tiny_llama

from llamaherd import Llama
from llamaherd.cli.model_report import describe
from llamaherd.cli.template_abilities import Probe
from llamaherd.model import Model
from llamaherd.model.cache_size import CacheSize, cache_size
from llamaherd.model.gguf import GGUFFile, NumberArray, Value, ValueType, check_model
from llamaherd.params import ContextParams

__all__ = ["program"]


def test_the_demo_model_is_described(program: Program, llm: Llama) -> None:
    done = program("info", "demo", "--json")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert report["architecture"] == "llama"
    assert report["n_parameters"] == llm.model.n_params
    assert report["memory"]["weights_bytes"] == llm.model.size_bytes
    assert report["n_ctx_train"] == llm.model.n_ctx_train
    assert report["n_layer"] == llm.model.n_layer
    assert report["n_embd"] == llm.n_embd()
    assert report["tokenizer"]["n_vocab"] == llm.n_vocab()
    assert report["tokenizer"]["special"]["eos"]["id"] == llm.token_eos()
    assert sum(entry["size_bytes"] for entry in report["tensor_types"]) == llm.model.size_bytes
    abilities = report["chat_templates"]["default"]
    assert all(abilities[a] for a in ("renders", "system message", "tools", "generation prompt"))


def test_packed_weights_are_those_of_the_kernels() -> None:
    done = run_process("info", "demo", "--json", LLAMAHERD_KERNELS="off")
    assert json.loads(done.out)["memory"]["packed_bytes"] is None


def test_people_get_tables(program: Program) -> None:
    done = program("info", "demo")
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines()]
    assert ["architecture", "llama"] in lines
    for title in ("Model", "Tensors", "Tokenizer", "Chat template", "Memory"):
        assert f"{title}\n" in done.out


def test_weights_are_not_read(program: Program, tmp_path: Path) -> None:
    """A file whose data is all zeros is described like any other."""
    made = tiny_llama()
    path = tmp_path / "hollow.gguf"
    path.write_bytes(bytes(made.data[: made.header_bytes]))
    with path.open("r+b") as file:
        file.truncate(len(made.data))
    assert program("info", path).code == 0


def test_recommended_sampling_and_hostile_names_are_shown_as_text(
    program: Program, tmp_path: Path
) -> None:
    path = tmp_path / "named.gguf"
    changes = {"general.name": "[red]\x1b[31mname", "general.sampling.temp": 0.25}
    path.write_bytes(tiny_llama(changes=changes).data)
    done = program("info", path)
    assert "[red]?[31mname" in done.out
    assert re.search(r"temp\s+0.25", done.out)


def test_what_is_no_model_is_one_line(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "page.gguf"
    path.write_text("<html>")
    done = program("info", path)
    assert (done.code, done.out) == (1, "")
    assert "is a web page, not a model" in done.err


@pytest.mark.parametrize("n_ctx", [256, 1000])
@pytest.mark.parametrize("grouped", [False, True])
def test_the_cache_is_as_large_as_llama_cpp_makes_it(
    caplog: pytest.LogCaptureFixture, tiny_model: Path, grouped: bool, n_ctx: int
) -> None:
    with (
        caplog.at_level(logging.INFO, "llamaherd.native"),
        Model(tiny_model if grouped else "demo") as model,
        model.new_context(ContextParams(n_ctx=n_ctx)),
    ):
        (file,) = check_model(model.path)
    said = [re.search(r"kv_cache: size = +([\d.]+) MiB", message) for message in caplog.messages]
    sizes = [float(match[1]) for match in said if match]
    assert sizes == [pytest.approx(cache_size(file).at(n_ctx) / 2**20, abs=0.01)]


def header(**hyper: Value) -> GGUFFile:
    metadata: dict[str, Value] = {"general.architecture": "llama"}
    metadata |= {f"llama.{key.replace('__', '.')}": value for key, value in hyper.items()}
    return GGUFFile(Path("x.gguf"), 3, metadata, (), 0, 0, {})


def integers(*numbers: int) -> NumberArray:
    return NumberArray(ValueType.INT32, array("i", numbers).tobytes())


PLAIN: dict[str, Value] = {"block_count": 4, "embedding_length": 64, "attention__head_count": 8}
SIZES = [
    (PLAIN, CacheSize(2 * 4 * 8 * 16, 0)),
    ({**PLAIN, "attention__head_count_kv": 2}, CacheSize(2 * 4 * 2 * 16, 0)),
    ({**PLAIN, "attention__head_count_kv": integers(2, 0, 2, 0)}, CacheSize(2 * 2 * 2 * 16, 0)),
    ({**PLAIN, "attention__key_length": 32}, CacheSize(2 * 4 * 8 * (32 + 8), 0)),
    (
        {**PLAIN, "attention__key_length": 32, "attention__key_length_mla": 16},
        CacheSize(2 * 4 * 8 * 32, 0),
    ),
    ({**PLAIN, "attention__shared_kv_layers": 1}, CacheSize(2 * 3 * 8 * 16, 0)),
    ({**PLAIN, "attention__causal": False}, CacheSize(0, 0)),
    ({}, CacheSize(0, 0)),
    (
        {"block_count": 2, "ssm__inner_size": 10, "ssm__state_size": 4, "ssm__conv_kernel": 4},
        CacheSize(0, 4 * 2 * (3 * 10 + 10 * 4)),
    ),
    (
        {**PLAIN, "full_attention_interval": 4, "ssm__inner_size": 10, "ssm__state_size": 4,
         "ssm__conv_kernel": 4, "ssm__group_count": 1},
        CacheSize(2 * 8 * 16, 4 * 3 * (3 * (10 + 2 * 4) + 10 * 4)),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("hyper", "expected"), SIZES)
def test_the_cache_follows_the_hyperparameters(
    hyper: dict[str, Value], expected: CacheSize
) -> None:
    assert cache_size(header(**hyper)) == expected


def test_a_context_is_rounded_up() -> None:
    assert CacheSize(2, 10).at(257) == 2 * 512 + 10


def test_an_empty_header_is_described() -> None:
    report = describe((header(),))
    assert report["n_layer"] is None
    assert report["chat_templates"] == {}


CHATML = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


def test_a_plain_template_has_no_tools_and_no_prompt_for_an_answer() -> None:
    found = Probe(CHATML).abilities()
    assert found["renders"]
    assert found["system message"]
    assert found["earlier turns"]
    assert not any(found[ability] for ability in ("tools", "generation prompt", "reasoning"))


def test_a_template_that_refuses_a_system_message_cannot_have_one() -> None:
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML
    found = Probe(strict).abilities()
    assert found["renders"]
    assert not found["system message"]


def test_reasoning_is_seen_in_its_switch_and_in_earlier_turns() -> None:
    switch = CHATML + "{% if enable_thinking is false %}<think></think>{% endif %}"
    assert Probe(switch).abilities()["reasoning can be switched"]
    kept = "{% for m in messages %}{{ m.reasoning_content }}{{ m.content }}{% endfor %}"
    found = Probe(kept).abilities()
    assert found["reasoning"]
    assert not found["reasoning can be switched"]


@pytest.mark.parametrize("source", ["{% if %}", "{{ messages.x.y.z }}", "{{ 1 / 0 }}", ""])
def test_a_broken_template_has_no_abilities(source: str) -> None:
    assert not any(Probe(source).abilities().values())


def test_a_projector_says_what_it_reads(program: Program, mmproj: Path) -> None:
    done = program("info", mmproj)
    assert done.code == 0
    assert "pictures (mlp), sounds (ultravox)" in done.out
    assert "mmproj" in done.out
    report = json.loads(program("info", mmproj, "--json").out)
    assert report["projectors"] == {"vision": "mlp", "audio": "ultravox"}
