"""What the classes are made with: fields, their defaults, and what is refused."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.exceptions import ModelError
from langchain_core.load import dumps, loads
from pydantic import ValidationError

from llamaherd import Llama
from llamaherd.errors import ModelLoadError, OptionError, UnknownOptionError
from llamaherd.langchain import ChatLlamaCpp, LlamaCpp, LlamaCppEmbeddings, LlamaCppReranker
from llamaherd.shared import shared_llama

Options = dict[str, Any]
CLASSES: list[Any] = [ChatLlamaCpp, LlamaCpp, LlamaCppEmbeddings, LlamaCppReranker]
OLD_FIELDS: dict[str, Any] = {
    "client": None,
    "lora_base": None,
    "lora_path": None,
    "n_ctx": 512,
    "n_parts": -1,
    "seed": -1,
    "f16_kv": True,
    "logits_all": False,
    "vocab_only": False,
    "use_mlock": False,
    "n_threads": 1,
    "n_batch": 8,
    "n_gpu_layers": None,
    "suffix": None,
    "max_tokens": 256,
    "temperature": 0.8,
    "top_p": 0.95,
    "logprobs": None,
    "echo": False,
    "stop": [],
    "repeat_penalty": 1.1,
    "top_k": 40,
    "last_n_tokens_size": 64,
    "use_mmap": True,
    "rope_freq_scale": 1.0,
    "rope_freq_base": 10000.0,
    "model_kwargs": {},
    "streaming": True,
    "grammar_path": None,
    "grammar": None,
    "verbose": False,
}


@pytest.mark.parametrize("kind", [ChatLlamaCpp, LlamaCpp])
def test_every_field_of_langchain_community_is_taken(kind: Any) -> None:
    llm = kind(model_path="demo", **OLD_FIELDS)
    for name, value in OLD_FIELDS.items():
        assert getattr(llm, name) == value


def test_fields_of_the_old_embeddings_are_taken() -> None:
    names = ["n_ctx", "n_parts", "seed", "f16_kv", "logits_all", "vocab_only", "use_mlock"]
    names += ["n_threads", "n_batch", "n_gpu_layers", "verbose", "client"]
    old = {name: OLD_FIELDS[name] for name in names}
    LlamaCppEmbeddings(model_path="demo", device="cpu", **old)


@pytest.mark.parametrize("kind", CLASSES)
def test_making_one_loads_nothing(kind: Any) -> None:
    made = kind(model_path="demo", n_ctx=300)
    gc.collect()
    assert not made._held


@pytest.mark.parametrize("kind", CLASSES)
def test_a_wrong_path_is_found_at_once(kind: Any, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.gguf")
    with pytest.raises(ValueError, match=r"^Could not load Llama model from path: ") as caught:
        kind(model_path=missing)
    assert isinstance(caught.value, ModelLoadError)
    assert missing in str(caught.value)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_file_that_is_no_model_is_found_at_once(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "text.gguf"
    path.write_text("This is no model.")
    with pytest.raises(ValueError, match="Could not load Llama model from path"):
        kind(model_path=str(path))


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("temprature", "temperature"), ("n_cxt", "n_ctx"), ("modelpath", "model_path")],
)
def test_unknown_fields_are_refused_with_the_nearest_name(wrong: str, nearest: str) -> None:
    with pytest.raises(UnknownOptionError, match=f"did you mean '{nearest}'"):
        make(**{wrong: 1})


@pytest.mark.parametrize("kind", CLASSES)
def test_unknown_model_kwargs_are_refused(kind: Any) -> None:
    with pytest.raises(UnknownOptionError, match="n_paralel"):
        kind(model_path="demo", model_kwargs={"n_paralel": 2})


def test_options_of_llama_may_be_given_beside_the_fields() -> None:
    llm = make(min_p=0.1, type_k="q8_0", enable_thinking=False)
    assert llm.model_kwargs == {"min_p": 0.1, "type_k": "q8_0", "enable_thinking": False}
    assert llm._load_options()["type_k"] == "q8_0"
    assert llm._call_options(None, {})["min_p"] == 0.1


@pytest.mark.parametrize(
    "given",
    [
        {"n_parts": 2},
        {"lora_base": "base.gguf"},
        {"suffix": "end"},
        {"echo": True},
        {"min_p": 7},
        {"n_ctx": -3},
        {"temperature": -1},
        {"type_k": "q3"},
        {"stop": ["\ud800"]},
        {"grammar": "a", "grammar_path": "b"},
        {"grammar_path": "missing.gbnf"},
        {"model": "demo"},
        {"min_p": 0.1, "model_kwargs": {"min_p": 0.2}},
        {"model_kwargs": {"n_ctx": 512}},
    ],
)
def test_values_that_mean_nothing_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        ChatLlamaCpp(model_path="demo", **given)


@pytest.mark.parametrize(
    "given", [{"n_ctx": 512}, {"model_path": "demo"}, {"lora_path": "a.gguf"}, {"type_k": "f32"}]
)
def test_options_of_loading_are_refused_beside_a_server(given: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(given))):
        ChatLlamaCpp(base_url="http://127.0.0.1:1", **given)


def test_a_model_must_be_named() -> None:
    with pytest.raises(OptionError, match="model_path"):
        ChatLlamaCpp()


def test_wrong_types_are_errors_of_pydantic() -> None:
    with pytest.raises(ValidationError, match="n_ctx"):
        make(n_ctx="much")


def test_model_is_another_name_for_the_path() -> None:
    assert ChatLlamaCpp(model="demo")._name() == "demo"


def test_equal_options_share_the_weights() -> None:
    one = ChatLlamaCpp(model_path="demo", n_threads=1, temperature=0)
    other = make(n_threads=1, temperature=1, min_p=0.2)
    completion = LlamaCpp(model_path="demo", n_threads=1)
    embeddings = LlamaCppEmbeddings(model_path="demo", n_threads=1)
    assert one._llama() is other._llama() is completion._llama() is embeddings._llama()
    assert ChatLlamaCpp(model_path="demo", n_threads=1, n_ctx=512)._llama() is not one._llama()


def test_a_loaded_llama_may_be_given(tiny_model: Path) -> None:
    with Llama(tiny_model) as client:
        llm = LlamaCpp(client=client, max_tokens=3)
        assert llm._llama() is client
        assert isinstance(llm.invoke("Hello"), str)
        assert str(tiny_model) not in dumps(llm)


def test_copies_share_the_model_and_pickles_leave_it_out() -> None:
    llm = ChatLlamaCpp(model_path="demo", n_threads=1, temperature=0)
    llama = llm._llama()
    assert copy.deepcopy(llm)._llama() is llama
    assert llm.model_copy(update={"temperature": 1})._llama() is llama
    again = pickle.loads(pickle.dumps(llm))
    assert not again._held
    assert again._llama() is llama


def test_a_model_that_nobody_holds_is_freed(tiny_model: Path) -> None:
    llm = LlamaCpp(model_path=str(tiny_model), n_ctx=64, max_tokens=1)
    llm.invoke("Hello")
    llama = llm._llama()
    assert isinstance(llama, Llama)
    engine = llama._engine
    del llm, llama
    gc.collect()
    assert engine.closed


@pytest.mark.filterwarnings("ignore:.*is in beta:langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("kind", [ChatLlamaCpp, LlamaCpp])
def test_a_dump_can_be_loaded(kind: Any) -> None:
    llm = kind(model_path="demo", n_threads=1, temperature=0, min_p=0.1, api_key="hidden")
    llm._llama()
    dump = dumps(llm)
    assert "hidden" not in dump
    again = loads(
        dump,
        allowed_objects=[kind],
        valid_namespaces=["llamaherd"],
        secrets_map={"LLAMAHERD_API_KEY": "hidden"},
    )
    assert again == llm


def test_what_changes_answers_is_part_of_the_cache_key() -> None:
    options: list[Options] = [
        {},
        {"seed": 1},
        {"n_ctx": 512},
        {"lora_path": "a.gguf"},
        {"min_p": 0.2},
        {"temperature": 0},
        {"rope_freq_base": 5e5},
        {"grammar": "root ::= 'a'"},
    ]
    assert len({make(**each)._get_llm_string() for each in options}) == 8


def test_the_profile_comes_from_the_file() -> None:
    profile = ChatLlamaCpp(model_path="demo").profile
    assert profile is not None
    assert profile["max_input_tokens"] == 2048
    assert profile["tool_calling"]
    assert profile["tool_choice"]
    assert profile["structured_output"]
    assert not profile["reasoning_output"]
    assert not profile["image_inputs"]
    limited = ChatLlamaCpp(model_path="demo", n_ctx=512).profile
    assert limited is not None
    assert limited["max_input_tokens"] == 512


def test_the_profile_of_a_model_without_template(tiny_model: Path) -> None:
    profile = ChatLlamaCpp(model_path=str(tiny_model)).profile
    assert profile is not None
    assert not profile["tool_calling"]


def test_errors_are_of_both_families(tiny_model: Path) -> None:
    llm = ChatLlamaCpp(model_path=str(tiny_model))
    with pytest.raises(ModelError, match="chat template") as caught:
        llm.invoke("Hello")
    assert not caught.value.is_retryable


def make(**options: Any) -> ChatLlamaCpp:
    """One of the demo model."""
    return ChatLlamaCpp(model_path="demo", **options)


def test_loading_by_many_names_is_one_load() -> None:
    held = shared_llama("demo", n_threads=1, n_parallel=16)
    path = str(held.model.path)
    assert ChatLlamaCpp(model_path=path, n_threads=1)._llama() is held


def test_without_langchain_the_import_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['langchain_core'] = None\n"
        "try: import llamaherd.langchain\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'llamaherd[langchain]'" in done.stdout
