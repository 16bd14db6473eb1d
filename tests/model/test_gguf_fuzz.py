"""2,000 damaged GGUF files: each is refused with a typed error, or is a model that works.

Nothing here guards against a crash: one would take the test process with it.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tiny_gguf import Field, Typed, Writer, spm_vocabulary, tiny_llama

from llamaherd import ContextCreateError, ContextParams, ModelLoadError, ModelParams
from llamaherd.model import Model
from llamaherd.native import bindings as c

TEXT = "Hello wörld, the inner\n 123 \t日本<|im_end|> x"
OPTIONAL_KEYS: dict[str, object] = {
    "general.alignment": 64,
    "llama.attention.head_count": [4, 4],
    "llama.attention.head_count_kv": [2, 2],
    "llama.attention.key_length": 16,
    "llama.attention.value_length": 16,
    "llama.attention.causal": True,
    "llama.embedding_length_out": 64,
    "llama.expert_count": 0,
    "llama.expert_used_count": 0,
    "llama.expert_group_count": 0,
    "llama.nextn_predict_layers": 0,
    "llama.pooling_type": 1,
    "llama.rope.scaling.type": "yarn",
    "llama.rope.scaling.original_context_length": 128,
    "split.no": Typed("H", 0),
    "split.count": Typed("H", 1),
    "tokenizer.ggml.padding_token_id": 6,
    "tokenizer.ggml.add_eos_token": False,
}
WHOLE = {
    "byte pairs": tiny_llama(),
    "sentence pieces": tiny_llama(spm_vocabulary()),
    "experts": tiny_llama(experts=4),
    "optional keys": tiny_llama(changes=OPTIONAL_KEYS),
}
EXTREMES = (
    0, 1, 2, 3, 7, 8, 31, 32, 33, 255, 256, 512, 513, 1024, 1025, 2**16, 2**24, 2**31 - 1, 2**31,
    2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 9, 2**64 - 1, 0x7FC00000, 0xBF800000,
)  # fmt: skip

Draw = st.DrawFn
whole_files = st.sampled_from(list(WHOLE.values()))


@st.composite
def changed_numbers(draw: Draw) -> bytes:
    """One to three numbers of the header hold something else."""
    writer = draw(whole_files)
    data = bytearray(writer.data)
    for _ in range(draw(st.sampled_from([1, 1, 2]))):
        place = draw(st.sampled_from(_numbers_of_an_owner(writer, draw)))
        old = int.from_bytes(data[place.offset : place.offset + place.size_bytes], "little")
        near = (old + 1, old - 1, old * 2, old // 2)
        bits = [old ^ (1 << at) for at in range(8 * place.size_bytes)]
        _put(data, place, draw(st.sampled_from(draw(st.sampled_from([EXTREMES, near, bits])))))
    return bytes(data)


def _numbers_of_an_owner(writer: Writer, draw: Draw) -> list[Field]:
    """Arrays of tokens have hundreds of numbers, other keys two or three: level the odds."""
    owner = draw(st.sampled_from(sorted({field.owner for field in writer.fields})))
    numbers = [field for field in writer.fields if field.owner == owner]
    # The last one is the value of a key (of an array, its last item).
    return draw(st.sampled_from([numbers, numbers[-1:]]))


def _put(data: bytearray, place: Field, value: int) -> None:
    raw = (value % 2**64).to_bytes(8, "little")[: place.size_bytes]
    data[place.offset : place.offset + place.size_bytes] = raw


@st.composite
def swapped_numbers(draw: Draw) -> bytes:
    """Two numbers of the header have changed places."""
    writer = draw(whole_files)
    data = bytearray(writer.data)
    one, other = (draw(st.sampled_from(_numbers_of_an_owner(writer, draw))) for _ in range(2))
    size = min(one.size_bytes, other.size_bytes)
    a, b = (slice(field.offset, field.offset + size) for field in (one, other))
    data[a], data[b] = data[b], data[a]
    return bytes(data)


@st.composite
def changed_bytes(draw: Draw) -> bytes:
    """Bytes of the header are flipped, gone, new, or copied from elsewhere."""
    writer = draw(whole_files)
    data = bytearray(writer.data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, writer.header_bytes - 1))
        length = draw(st.sampled_from([1, 1, 2, 4, 8, 32]))
        match draw(st.sampled_from(["flip", "flip", "cut", "insert", "copy"])):
            case "flip":
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at : at + length]
            case "insert":
                data[at:at] = draw(st.binary(min_size=length, max_size=length))
            case _:
                start = draw(st.integers(0, writer.header_bytes - 1))
                data[at : at + length] = data[start : start + length]
    return bytes(data)


@st.composite
def truncated(draw: Draw) -> bytes:
    """The file ends early, most often inside its header."""
    writer = draw(whole_files)
    header = st.integers(0, writer.header_bytes + 64)
    return bytes(writer.data[: draw(header | st.integers(0, len(writer.data)))])


def use(path: Path) -> str:
    """Load the model at `path` and make it say something; returns how that ended."""
    try:
        with Model(path, ModelParams(n_gpu_layers=0)) as model:
            return speak(model)
    except ModelLoadError as error:
        return "refused" if error.finding and error.remedy and str(path) in str(error) else "mute"
    except ContextCreateError as error:
        return "no context" if str(error) else "mute"


def speak(model: Model) -> str:
    """Read a text and add three tokens, the most likely ones."""
    tokens = model.vocab.tokenize(TEXT, add_special=True, parse_special=True)
    assert b"".join(map(model.vocab.token_bytes, range(len(model.vocab))))
    with model.new_context(ContextParams(n_ctx=256, n_threads=1)) as context:
        for _ in range(3):
            array = (ctypes.c_int32 * len(tokens))(*model.vocab.all_checked(tokens))
            batch = c.llama_batch_get_one(array, len(tokens))
            assert c.llama_decode(context.pointer, batch) == 0
            logits = c.llama_get_logits_ith(context.pointer, -1)
            tokens = [max(range(len(model.vocab)), key=logits.__getitem__)]
    return "works"


@pytest.mark.parametrize("name", WHOLE)
def test_the_undamaged_files_work(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(WHOLE[name].data)
    assert use(path) == "works"


def examples(count: int) -> settings:
    """The same `count` examples every time, quick or slow."""
    return settings(max_examples=count, derandomize=True, database=None, deadline=None)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "model.gguf"


def check(path: Path, data: bytes) -> None:
    """An example passes if this process is alive afterwards, and the outcome is a known one."""
    path.write_bytes(data)
    outcome = use(path)
    event(outcome)
    assert outcome in ("works", "refused", "no context")


@examples(900)
@given(data=changed_numbers())
def test_changed_numbers(path: Path, data: bytes) -> None:
    check(path, data)


@examples(250)
@given(data=swapped_numbers())
def test_swapped_numbers(path: Path, data: bytes) -> None:
    check(path, data)


@examples(500)
@given(data=changed_bytes())
def test_changed_bytes(path: Path, data: bytes) -> None:
    check(path, data)


@examples(350)
@given(data=truncated())
def test_truncations(path: Path, data: bytes) -> None:
    check(path, data)
