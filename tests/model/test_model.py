"""Loading: options, metadata, adapters, split files, defaults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_gguf import F32, Tensor, Typed, bpe_vocabulary, llama_metadata, llama_tensors, tiny_llama
from tiny_gguf import write as write_gguf

from llamaherd import (
    ContextParams,
    Llama,
    ModelLoadError,
    ModelParams,
    OptionError,
    UnsupportedError,
)
from llamaherd.model import Model, memory
from llamaherd.native.handles import AdapterHandle

WIDTH = 64


def _tiny(folder: Path, **changes: object) -> Path:
    path = folder / "changed.gguf"
    path.write_bytes(tiny_llama(changes=changes).data)
    return path


def test_a_model_tells_what_it_is(tiny_model: Path) -> None:
    with Model(tiny_model) as model:
        assert model.architecture == "llama"
        assert model.metadata["general.name"] == "tiny"
        assert (model.n_layer, model.n_embd, model.n_ctx_train) == (2, WIDTH, 256)
        assert model.n_params > 10_000
        assert model.size_bytes > model.n_params
        assert "llama" in model.description
        assert model.runtime.startswith("llama.cpp 0.5")
        assert model.chat_templates == {}
        assert not model.forgets


def test_chat_templates_are_found_by_name(tmp_path: Path) -> None:
    path = _tiny(
        tmp_path,
        **{"tokenizer.chat_template": "one", "tokenizer.chat_template.tool_use": "two"},
    )
    with Model(path) as model:
        assert model.chat_templates == {"default": "one", "tool_use": "two"}


def test_long_metadata_is_read_whole(tmp_path: Path) -> None:
    template = "{# é #}" * 1000
    with Model(_tiny(tmp_path, **{"tokenizer.chat_template": template})) as model:
        assert model.chat_templates["default"] == template


def test_the_files_sampling_recommendations_are_the_defaults(tmp_path: Path) -> None:
    changes = {"general.sampling.temp": 0.25, "general.sampling.top_k": Typed("i", 7)}
    with Llama(_tiny(tmp_path, **changes)) as llm:
        assert (llm.defaults.temperature, llm.defaults.top_k) == (0.25, 7)
    with Llama(_tiny(tmp_path, **changes), top_k=3) as llm:
        assert (llm.defaults.temperature, llm.defaults.top_k) == (0.25, 3)


def test_metadata_can_be_overridden(tiny_model: Path) -> None:
    overrides = {"general.name": "other", "llama.context_length": 512}
    with Model(tiny_model, ModelParams(kv_overrides=overrides)) as model:
        assert model.n_ctx_train == 512


@pytest.mark.parametrize(
    "options",
    [
        {"kv_overrides": {"k" * 128: 1}},
        {"kv_overrides": {"k": "v" * 128}},
        {"kv_overrides": {"k": 2**63}},
        {"kv_overrides": {"k": [1]}},
        {"kv_overrides": {"": 1}},
        {"devices": ["no such device"]},
        {"tensor_split": [1.0] * 10_000},
        {"tensor_split": [-1.0]},
        {"tensor_split": [0.0]},
        {"tensor_buft_overrides": {"ffn": "no such type"}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_this_machine_does_not_have_is_named(
    tiny_model: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        Model(tiny_model, ModelParams(**options))


@pytest.mark.parametrize(
    "options",
    [
        {"devices": ["CPU"]},
        {"tensor_buft_overrides": {"ffn_.*": "CPU"}},
        {"use_mmap": False},
        {"use_mmap": True, "use_extra_bufts": False},
        {"load_mode": "none", "check_tensors": True},
        {"n_gpu_layers": 0, "split_mode": "none"},
        {"tensor_split": [1.0]},
        {"lazy_mode": "on", "load_mtp": True, "no_host": True},
    ],
    ids=lambda options: "-".join(options),
)
def test_every_way_of_loading_gives_the_same_answer(
    tiny_model: Path, options: dict[str, Any]
) -> None:
    with Llama(tiny_model) as plain, Llama(tiny_model, **options) as other:
        answers = [llm("the", temperature=0, max_tokens=8) for llm in (plain, other)]
    assert answers[0]["choices"] == answers[1]["choices"]


@pytest.mark.parametrize(
    "options",
    [
        {"type_k": "q8_0"},
        {"type_k": "f32", "type_v": "f32", "flash_attn": False},
        {"type_v": "q8_0", "flash_attn": True},
        {"rope_freq_base": 20000.0, "rope_freq_scale": 0.5},
        {"rope_scaling_type": "yarn", "yarn_orig_ctx": 128, "yarn_ext_factor": 1.0},
        {"n_batch": 16, "n_ubatch": 8, "n_threads": 1, "n_threads_batch": 2},
        {"swa_full": True, "offload_kqv": False, "op_offload": False},
    ],
    ids=lambda options: "-".join(options),
)
def test_every_context_option_runs(options: dict[str, Any]) -> None:
    with Llama("demo", n_ctx=128, **options) as llm:
        done = llm("the " * 20, temperature=0, max_tokens=4, ignore_eos=True)
        assert done["usage"]["completion_tokens"] == 4


def test_a_split_model_loads_from_its_first_part(tmp_path: Path, tiny_model: Path) -> None:
    vocabulary = bpe_vocabulary()
    n_vocab = len(vocabulary["tokenizer.ggml.tokens"])  # type: ignore[arg-type]
    tensors = llama_tensors(n_vocab)
    halves = tensors[: len(tensors) // 2], tensors[len(tensors) // 2 :]
    for number, half in enumerate(halves):
        split = {
            "split.no": Typed("H", number),
            "split.count": Typed("H", 2),
            "split.tensors.count": Typed("i", len(tensors)),
        }
        metadata = {**llama_metadata(n_vocab), **vocabulary} if number == 0 else {}
        part = tmp_path / f"tiny-0000{number + 1}-of-00002.gguf"
        part.write_bytes(write_gguf({**metadata, **split}, half).data)
    with Llama(tmp_path / "tiny-00001-of-00002.gguf") as split_llm, Llama(tiny_model) as whole:
        answers = [llm("the", temperature=0, max_tokens=8) for llm in (split_llm, whole)]
    assert answers[0]["choices"] == answers[1]["choices"]


def test_an_adapter_changes_answers_by_its_scale(tiny_model: Path, adapter_file: Path) -> None:
    def logprobs(**options: Any) -> list[float]:
        with Llama(tiny_model, **options) as llm:
            done = llm([5, 6, 7, 8, 9], max_tokens=0, echo=True, logprobs=0)
        return [float(x) for x in done["choices"][0]["logprobs"]["token_logprobs"][1:]]

    plain = logprobs()
    assert logprobs(lora_path=adapter_file, lora_scale=0.0) == pytest.approx(plain, abs=1e-4)
    strong = logprobs(lora_path=adapter_file, lora_scale=20.0)
    assert strong != pytest.approx(plain, abs=1e-2)


def test_weights_live_as_long_as_an_adapter_for_them(tiny_model: Path, adapter_file: Path) -> None:
    with Model(tiny_model) as model:
        adapter: AdapterHandle = model.load_adapter(adapter_file)
    assert model.handle._owned
    adapter.close()
    assert model.handle._owned is None


def test_a_bad_override_is_not_blamed_on_the_file(tiny_model: Path) -> None:
    overrides = {"llama.attention.head_count": 0}
    with pytest.raises(OptionError, match="kv_overrides"):
        Model(tiny_model, ModelParams(kv_overrides=overrides))


def test_a_model_is_no_adapter(tiny_model: Path) -> None:
    with Model(tiny_model) as model, pytest.raises(ModelLoadError, match="adapter"):
        model.load_adapter(tiny_model)


def test_the_default_context_is_the_models_bounded_by_memory(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Model(tiny_model) as model:
        params = ContextParams()
        assert memory.default_n_ctx(model.handle, params) == model.n_ctx_train
    huge = ModelParams(kv_overrides={"llama.context_length": 1_000_000})
    with Model(tiny_model, huge) as model:
        per_token = memory.cache_bytes_per_token(model.handle, params)
        assert per_token >= 2 * 2 * 2 * 16 * 2  # keys and values, layers, heads, width, bytes
        monkeypatch.setattr(memory, "free_bytes", lambda: 20_000 * per_token)
        assert 9_000 <= memory.default_n_ctx(model.handle, params) <= 10_000
        smaller_cache = replace(params, type_k="q8_0", type_v="q8_0")
        assert memory.default_n_ctx(model.handle, smaller_cache) > 10_000


def test_demo_is_the_bundled_model_and_a_path_is_a_path(tmp_path: Path) -> None:
    with Model("demo") as model:
        assert model.path.name == "llamaherd-demo.gguf"
    with pytest.raises(ModelLoadError, match="demo"):
        Model("./demo")


def _tiny_bert() -> bytes:
    """An embedding model of random weights: it reads, but has nothing to draw tokens from."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁the", "▁a"]
    metadata = {
        "general.architecture": "bert",
        "bert.block_count": 1,
        "bert.context_length": 64,
        "bert.embedding_length": WIDTH,
        "bert.feed_forward_length": 128,
        "bert.attention.head_count": 4,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": [Typed("i", 3)] * 5 + [Typed("i", 1)] * 2,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.seperator_token_id": 3,  # llama.cpp spells it so
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.mask_token_id": 4,
    }
    random = np.random.default_rng(1)

    def tensor(name: str, *shape: int) -> Tensor:
        data = random.normal(0, 0.1, int(np.prod(shape))).astype("<f4").tobytes()
        return Tensor(name, shape, F32, data)

    def linear(name: str, n_in: int, n_out: int) -> list[Tensor]:
        return [tensor(f"{name}.weight", n_in, n_out), tensor(f"{name}.bias", n_out)]

    def norm(name: str) -> list[Tensor]:
        return [tensor(f"{name}.weight", WIDTH), tensor(f"{name}.bias", WIDTH)]

    attention = [linear(f"blk.0.attn_{part}", WIDTH, WIDTH) for part in ("q", "k", "v", "output")]
    tensors = [
        tensor("token_embd.weight", WIDTH, len(words)),
        tensor("token_types.weight", WIDTH, 2),
        tensor("position_embd.weight", WIDTH, 64),
        *norm("token_embd_norm"),
        *(t for part in attention for t in part),
        *norm("blk.0.attn_output_norm"),
        *linear("blk.0.ffn_up", WIDTH, 128),
        *linear("blk.0.ffn_down", 128, WIDTH),
        *norm("blk.0.layer_output_norm"),
    ]
    return bytes(write_gguf(metadata, tensors).data)


def test_an_embedding_model_refuses_to_generate(tmp_path: Path) -> None:
    path = tmp_path / "bert.gguf"
    path.write_bytes(_tiny_bert())
    with Llama(path) as llm, pytest.raises(UnsupportedError, match=r"bert\.gguf"):
        llm([5, 6])


def test_tiny_models_compute_with_one_thread_unless_told_otherwise() -> None:
    with Model("demo") as model:
        assert model.n_threads_for(ContextParams()) == 1
        assert model.n_threads_for(ContextParams(n_threads=3)) == 3
    assert memory.default_threads(1 << 30) == memory.physical_cores()
