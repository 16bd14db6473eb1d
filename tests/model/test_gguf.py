"""Each finding about a GGUF file: the message names the file, what is wrong, and what to do."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
from tiny_gguf import (
    F16,
    F32,
    NO_STRINGS,
    Tensor,
    Typed,
    Writer,
    bpe_vocabulary,
    spm_vocabulary,
    tiny_llama,
    write,
)

from llamaherd.errors import ModelLoadError
from llamaherd.model.gguf import (
    NumberArray,
    StringArray,
    check_adapter,
    check_model,
    read_gguf,
)

REAL = sorted((Path(__file__).parents[3] / "shared" / "data" / "vocab").glob("*.gguf"))
NORM = "output_norm.weight"


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def save(data: bytes | bytearray | Writer, name: str = "model.gguf") -> Path:
        path = tmp_path / name
        path.write_bytes(data.data if isinstance(data, Writer) else data)
        return path

    return save


def refused(path: Path, *findings: str, check: Callable[[Path], object] = check_model) -> str:
    """`check` refuses `path`, naming it, each finding, and a remedy. Returns the remedy."""
    with pytest.raises(ModelLoadError) as caught:
        check(path)
    error = caught.value
    assert str(error).startswith(str(path))
    for finding in findings:
        assert finding in error.finding
    assert error.remedy.endswith((".", "`"))
    assert error.remedy in str(error)
    return error.remedy


def one_tensor(**changes: object) -> Writer:
    """A file with a key and a tensor of 64 numbers; `changes` are fields of the tensor."""
    fields = {"name": "a.weight", "shape": (32, 2), "type": F32, "data": bytes(256), **changes}
    return write({"general.name": "x"}, [Tensor(**fields)])  # type: ignore[arg-type]


# What can be read


def test_a_good_file_is_read_as_the_gguf_package_reads_it(save: Callable[..., Path]) -> None:
    path = save(tiny_llama())
    (ours,) = check_model(path)
    theirs = gguf.GGUFReader(path)
    for key, value in ours.metadata.items():
        plain = list(value) if isinstance(value, (NumberArray, StringArray)) else value
        assert plain == theirs.fields[key].contents()
    assert len(ours.metadata) == len(theirs.fields) - 3  # theirs counts the version and counts
    for mine, their in zip(ours.tensors, theirs.tensors, strict=True):
        assert (mine.name, list(mine.shape)) == (their.name, their.shape.tolist())
        assert (mine.type, mine.size_bytes) == (their.tensor_type, their.n_bytes)
        assert ours.data_offset + mine.offset == their.data_offset


def test_a_file_says_what_it_is(save: Callable[..., Path]) -> None:
    (file,) = check_model(save(tiny_llama()))
    assert (file.architecture, file.version, file.kind) == ("llama", 3, "model")
    assert (file.alignment, file.split_no, file.split_count) == (32, 0, 1)
    assert file.file_type == "F16"
    assert file.n_parameters == 91136
    assert file.size_bytes == file.path.stat().st_size


def test_version_2_is_read_like_version_3(save: Callable[..., Path]) -> None:
    assert read_gguf(save(write({"general.name": "x"}, [], version=2))).version == 2


def test_arrays_are_sequences(save: Callable[..., Path]) -> None:
    metadata = {"words": ["a", "é", ""], "numbers": [1, 2, 3], "none": [], "yes": [True, False]}
    file = read_gguf(save(write(metadata, [])))
    words, numbers = file.metadata["words"], file.metadata["numbers"]
    assert isinstance(words, StringArray)
    assert isinstance(numbers, NumberArray)
    assert list(words) == ["a", "é", ""]
    assert words[-2:] == ["é", ""]
    assert list(numbers) == [1, 2, 3]
    assert numbers[1:] == [2, 3]
    assert list(file.metadata["yes"]) == [True, False]  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        words[3]


@pytest.mark.skipif(not REAL, reason="needs the vocabularies of shared/data")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_a_real_vocabulary_passes_quickly(path: Path) -> None:
    start = time.process_time()
    (file,) = check_model(path)
    assert time.process_time() - start < 1  # 0.15 s on an idle core for 128k tokens
    assert file.architecture in ("bert", "llama", "phi3", "qwen2")


# What is no GGUF file


def test_a_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "no.gguf", "does not exist")


def test_a_folder(tmp_path: Path) -> None:
    assert ".gguf" in refused(tmp_path, "is a folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not a regular file")


def test_a_file_that_may_not_be_read(
    save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    path = save(tiny_llama())
    monkeypatch.setattr(Path, "open", denied)
    assert "permissions" in refused(path, "cannot be read (Permission denied)")


def test_an_empty_file(save: Callable[..., Path]) -> None:
    refused(save(b""), "is empty")


@pytest.mark.parametrize(
    ("start", "finding", "remedy"),
    [
        (b"version https://git-lfs.example/spec/v1\noid 1", "Git LFS pointer", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "web page", "Fetch the file itself"),
        (b"PK\x03\x04 archive", "zip archive", "Convert"),
        (b"tjgg\x03\0\0\0", "GGJT", "GGUF conversion"),
        (b"\x10\0\0\0\0\0\0\0" + b'{"a": 1}', "safetensors", "Convert"),
        (b"GGU", "not a GGUF file", "Name a .gguf file"),
        (b"plain text", "begins with b'plai'", "Name a .gguf file"),
    ],
)
def test_other_kinds_of_files(
    save: Callable[..., Path], start: bytes, finding: str, remedy: str
) -> None:
    assert remedy in refused(save(start), finding)


def test_a_big_endian_file(save: Callable[..., Path]) -> None:
    data = b"GGUF" + struct.pack(">IQQ", 3, 0, 0)
    assert "gguf-convert-endian" in refused(save(data), "big-endian")


@pytest.mark.parametrize(("version", "remedy"), [(0, "Convert"), (1, "Convert"), (4, "Update")])
def test_versions_we_do_not_read(save: Callable[..., Path], version: int, remedy: str) -> None:
    data = write({}, [], version=version)
    assert remedy in refused(save(data), f"version {version}", "2 and 3")


# What is cut short or damaged


def test_every_truncation_is_found(save: Callable[..., Path]) -> None:
    whole = write({"a.text": "words", "a.list": ["x", "y"], "n": [1, 2]}, [_weights(), _norm()])
    for length in range(4, len(whole.data)):
        path = save(whole.data[:length])
        assert "fetch" in refused(path, check=read_gguf).lower(), length


def _weights() -> Tensor:
    return Tensor("a.weight", (8, 2), F16, bytes(32))


def _norm() -> Tensor:
    return Tensor("a_norm.weight", (8,), F32, bytes(32))


def test_truncated_tensor_data_names_the_tensor(save: Callable[..., Path]) -> None:
    whole = tiny_llama()
    path = save(whole.data[:-100_000])
    assert "cut short" in refused(
        path, f"of at least {len(whole.data)} bytes", "'blk.0.ffn_gate.weight'"
    )


@pytest.mark.parametrize("at", [8, 16], ids=["tensors", "keys"])
@pytest.mark.parametrize("count", [2**20, 2**63, 2**64 - 1])
def test_counts_that_the_file_cannot_hold(save: Callable[..., Path], at: int, count: int) -> None:
    data = tiny_llama().data
    data[at : at + 8] = struct.pack("<Q", count)
    refused(save(data), f"counts {count} items")


def field_changed(writer: Writer, owner: str, index: int, value: int) -> bytearray:
    """The file with field `index` of `owner` set."""
    place = [field for field in writer.fields if field.owner == owner][index]
    data = bytearray(writer.data)
    data[place.offset : place.offset + place.size_bytes] = value.to_bytes(
        place.size_bytes, "little"
    )
    return data


@pytest.mark.parametrize("length", [10**7, 2**40, 2**63, 2**64 - 9, 2**64 - 1])
@pytest.mark.parametrize(
    ("owner", "index"),
    [("general.name", 0), ("general.name", 2), ("tokenizer.ggml.tokens", 3),
     ("tokenizer.ggml.tokens", 4), ("tokenizer.ggml.tokens", 270), (NORM, 0)],
    ids=["key", "text", "array", "first string", "last string", "tensor name"],
)  # fmt: skip
def test_lengths_that_the_file_cannot_hold(
    save: Callable[..., Path], owner: str, index: int, length: int
) -> None:
    refused(save(field_changed(tiny_llama(), owner, index, length)))


def test_a_sparse_file_of_terabytes_costs_no_memory(save: Callable[..., Path]) -> None:
    path = save(field_changed(tiny_llama(), "tokenizer.ggml.tokens", 3, 2**36))
    os.truncate(path, 2**40)
    refused(path, "more than any model has")


def test_an_unknown_value_type(save: Callable[..., Path]) -> None:
    refused(save(field_changed(tiny_llama(), "general.name", 1, 13)), "unknown type 13")


def test_an_array_of_arrays(save: Callable[..., Path]) -> None:
    refused(save(field_changed(tiny_llama(), "tokenizer.ggml.tokens", 2, 9)), "array of arrays")


def test_a_key_twice(save: Callable[..., Path]) -> None:
    data = write({"aa": 1, "ab": 2}, []).data.replace(b"ab", b"aa")
    refused(save(data), "'aa' occurs twice")


@pytest.mark.parametrize(
    ("key", "finding"),
    [("", "is empty"), ("a\0b", "NUL"), ("k" * 65536, "65536 bytes long")],
    ids=["empty", "nul", "long"],
)
def test_keys_that_are_none(save: Callable[..., Path], key: str, finding: str) -> None:
    refused(save(write({key: 1}, [])), "metadata key 0", finding)


def test_a_key_that_is_not_text(save: Callable[..., Path]) -> None:
    refused(save(write({"ab": 1}, []).data.replace(b"ab", b"\xff\xfe")), "not UTF-8")


def test_a_value_that_is_not_text_is_read_all_the_same(save: Callable[..., Path]) -> None:
    assert read_gguf(save(write({"a": b"\xff!"}, []))).metadata["a"] == "\ufffd!"


@pytest.mark.parametrize("alignment", [0, 3, 48, 2**31])
def test_an_alignment_that_is_no_power_of_two(save: Callable[..., Path], alignment: int) -> None:
    refused(save(write({"general.alignment": alignment}, [])), f"is {alignment}, not a power")


def test_an_alignment_of_another_type(save: Callable[..., Path]) -> None:
    refused(save(write({"general.alignment": Typed("Q", 32)}, [])), "not a 32-bit unsigned")


# Tensor table


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"type": 43}, "unknown type 43"),
        ({"type": 4}, "reads no more"),
        ({"type": 8, "shape": (33, 2)}, "rows of 33, not a multiple of 32"),
        ({"shape": (1, 1, 1, 1, 1)}, "5 dimensions"),
        ({"shape": (2**63, 1)}, "impossible shape"),
        ({"shape": (2**31, 2**31, 2**31)}, "impossible shape"),
        ({"shape": (2**40,)}, "of at least"),
        ({"name": "n" * 64}, "64 bytes long"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_impossible_tensors(
    save: Callable[..., Path], changes: dict[str, object], finding: str
) -> None:
    refused(save(one_tensor(**changes)), finding)


def test_a_tensor_twice(save: Callable[..., Path]) -> None:
    refused(save(write({}, [_weights(), _weights()])), "'a.weight' occurs twice")


@pytest.mark.parametrize("offset", [0, 1, 64, 2**63], ids=str)
def test_tensors_that_overlap_or_leave_gaps(save: Callable[..., Path], offset: int) -> None:
    data = field_changed(write({}, [_weights(), _norm()]), "a_norm.weight", -1, offset)
    refused(save(data), "'a_norm.weight'", f"data offset {offset}, where 32 is expected")


# Split models


def split_in_three(folder: Path, changes: Callable[[int], dict[str, object]]) -> Path:
    """Three parts that differ in their numbers; returns the first."""
    for part in range(3):
        numbers = {"split.no": Typed("H", part), "split.count": Typed("H", 3), **changes(part)}
        name = f"m-{part + 1:05d}-of-00003.gguf"
        if part == 0:
            (folder / name).write_bytes(tiny_llama(changes=numbers).data)
        else:
            extra = Tensor(f"blk.{part}.attn_norm.weight", (8,), F32, bytes(32))
            (folder / name).write_bytes(write(numbers, [extra]).data)
    return folder / "m-00001-of-00003.gguf"


def test_all_parts_of_a_split_model_are_read_in_order(tmp_path: Path) -> None:
    parts = check_model(split_in_three(tmp_path, lambda _: {}))
    assert [part.split_no for part in parts] == [0, 1, 2]
    assert [len(part.tensors) for part in parts[1:]] == [1, 1]


def test_missing_parts_are_named(tmp_path: Path) -> None:
    first = split_in_three(tmp_path, lambda _: {})
    (tmp_path / "m-00002-of-00003.gguf").unlink()
    remedy = refused(first, "part 1 of 3", "missing: m-00002-of-00003.gguf")
    assert "Fetch all parts" in remedy


def test_another_part_than_the_first(tmp_path: Path) -> None:
    split_in_three(tmp_path, lambda _: {})
    remedy = refused(tmp_path / "m-00002-of-00003.gguf", "is part 2 of a model split in 3")
    assert "m-00001-of-00003.gguf" in remedy


def test_a_renamed_first_part(tmp_path: Path) -> None:
    first = split_in_three(tmp_path, lambda _: {})
    refused(first.rename(tmp_path / "mine.gguf"), "-00001-of-00003.gguf")


@pytest.mark.parametrize(
    ("number", "finding"),
    [(Typed("H", 2), "says it is part 3"), (Typed("I", 1), "does not say which")],
    ids=["wrong", "other type"],
)
def test_a_part_with_a_wrong_number(tmp_path: Path, number: Typed, finding: str) -> None:
    first = split_in_three(tmp_path, lambda part: {"split.no": number} if part == 1 else {})
    with pytest.raises(ModelLoadError, match=finding) as caught:
        check_model(first)
    assert "00002-of" in caught.value.path


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    first = split_in_three(tmp_path, lambda _: {})
    (tmp_path / "m-00003-of-00003.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelLoadError, match=r"00003-of-00003\.gguf: ends after 4 bytes"):
        check_model(first)


# What would kill the process inside llama.cpp


def arch(**values: object) -> dict[str, object]:
    return {f"llama.{key.replace('__', '.')}": value for key, value in values.items()}


EXPERTS = arch(expert_count=4, expert_used_count=2)


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        (arch(block_count=0), "'llama.block_count' is 0"),
        (arch(block_count=513), "not between 1 and 512"),
        (arch(context_length=0), "'llama.context_length' is 0"),
        (arch(vocab_size=2**32 - 1), "'llama.vocab_size' is"),
        (arch(nextn_predict_layers=2), "is 2 of only 2 layers"),
        (arch(attention__head_count=0), "no attention heads"),
        (arch(attention__head_count_kv=3), "4 attention heads for 3"),
        (arch(attention__head_count_kv=[2, 4]), "differs from layer to layer: [2, 4]"),
        (arch(attention__value_length=8), "keys 16, values 8"),
        (
            arch(attention__sliding_window=8, attention__sliding_window_pattern=1),
            "a sliding window that no layer uses",
        ),
        (
            arch(rope__dimension_count_swa=32),
            "keys 16, values 16, rotated 32",
        ),
        (arch(rope__dimension_count=8), "rotated 8"),
        (arch(attention__head_count=64, rope__dimension_count=1), "is odd: 1"),
        (arch(rope__scaling__type="dynamic"), "'dynamic', which llama.cpp does not know"),
        (arch(attention__layer_norm_rms_epsilon=-1.0), "epsilon' is -1.0"),
        (arch(attention__layer_norm_rms_epsilon=float("nan")), "epsilon' is nan"),
        (arch(pooling_type=7), "'llama.pooling_type' is 7"),
        (arch(expert_used_count=2), "uses 2 of 0 experts"),
        (arch(expert_count=4), "uses 0 of 4 experts"),
        (arch(expert_count=4, expert_used_count=[2, 5]), "uses 5 of 4 experts"),
        (arch(expert_count=4, expert_used_count=[2, 4]), "differs from layer to layer: [2, 4]"),
        ({**EXPERTS, **arch(expert_group_count=4)}, "4 groups of 4 experts"),
        ({**EXPERTS, **arch(expert_group_count=3)}, "of 3 groups of 4 experts"),
        (arch(expert_count=2000, expert_used_count=2), "between 0 and 1024"),
        (arch(embedding_length_out=128), "more than the width of 64"),
        (arch(classifier__output_labels=["x"] * 65), "65 labels but no classifier"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_numbers_that_llama_cpp_asserts(
    save: Callable[..., Path], changes: dict[str, object], finding: str
) -> None:
    refused(save(tiny_llama(changes=changes)), finding)


def other(architecture: str, changes: dict[str, object]) -> Writer:
    """The header of another architecture."""
    keys = {"attention.head_count": 4, "block_count": 2, "embedding_length": 64, **changes}
    named = {f"{architecture}.{key}": value for key, value in keys.items() if value is not None}
    return write({"general.architecture": architecture, **named, **bpe_vocabulary()}, [])


@pytest.mark.parametrize(
    ("architecture", "changes", "finding"),
    [
        ("mamba2", {"ssm.group_count": 0}, "ssm.group_count' is 0"),
        ("rwkv7", {"wkv.head_size": 0}, "wkv.head_size' is 0"),
        ("qwen3moe", {"expert_count": 0}, "how wide an expert is"),
        ("qwen2vl", {"rope.dimension_sections": [Typed("i", 0)] * 4}, "are [0, 0, 0, 0]"),
        ("qwen2vl", {"rope.dimension_sections": [Typed("i", 8)] * 3}, "are [8, 8, 8]"),
        ("olmo2", {"attention.head_count": None}, "no attention heads"),
        ("dots1", {"expert_count": 8, "expert_used_count": 2}, "how dots1 chooses experts"),
        ("phi2", {"rope.dimension_count": 0}, "nothing rotates"),
        ("modern-bert", {"attention.head_count_kv": 0}, "no key-value heads"),
        ("phi2", {"rope.dimension_count": 32}, "keys 16, values 16, rotated 32"),
    ],
)
def test_zeros_that_some_architectures_divide_by(
    save: Callable[..., Path], architecture: str, changes: dict[str, object], finding: str
) -> None:
    refused(save(other(architecture, changes)), finding)


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("mamba", {"attention.head_count": 0}),
        ("mamba2", {"attention.head_count": None, "ssm.group_count": 1}),
        ("plamo2", {"ssm.group_count": 0}),
        ("deci", {"attention.head_count_kv": [2, 0]}),
        ("jamba", {"attention.head_count_kv": [0, 2]}),
        ("bert", {"pooling_type": 2**32 - 1}),
        ("hunyuan-dense", {"expert_count": 1, "expert_used_count": 1}),
        ("qwen3moe", {"expert_count": 8, "expert_used_count": 2}),
        ("deepseek2", {"attention.key_length": 192, "attention.value_length": 128}),
        ("openelm", {"attention.head_count_kv": [2, 4]}),
        ("nemotron_h", {"expert_count": 8, "expert_used_count": [2, 3]}),
        ("gpt2", {"rope.dimension_count": 0}),
        ("phi2", {"rope.dimension_count": 8}),
        ("an architecture of tomorrow", {"attention.head_count": None}),
    ],
)
def test_unusual_but_right_numbers_pass(
    save: Callable[..., Path], architecture: str, changes: dict[str, object]
) -> None:
    check_model(save(other(architecture, changes)))


def test_overrides_are_checked_like_the_file(save: Callable[..., Path]) -> None:
    path = save(tiny_llama())
    check_model(path, {"llama.context_length": 512})
    refused(
        path,
        "uses 9 of 0 experts",
        check=lambda path: check_model(path, {"llama.expert_used_count": 9}),
    )


@pytest.mark.parametrize(
    ("tensor", "finding"),
    [
        (Tensor("a.weight", (32, 2), 9, bytes(80)), "not one for weights"),
        (Tensor("a.weight", (32, 2), 26, bytes(256)), "not one for weights"),
        (Tensor("a_norm.weight", (32,), F16, bytes(64)), "only F32"),
        (Tensor("a.bias", (32,), F16, bytes(64)), "only F32"),
        (Tensor("a.weight", (32, 0), F16, b""), "is empty: (32, 0)"),
    ],
    ids=["q8_1", "i32", "f16 norm", "f16 bias", "empty"],
)
def test_tensors_that_cannot_be_computed(
    save: Callable[..., Path], tensor: Tensor, finding: str
) -> None:
    refused(save(write({}, [tensor])), finding)


def test_integer_tables_are_no_weights(save: Callable[..., Path]) -> None:
    table = Tensor("blk.0.ffn_gate_tid2eid.weight", (8, 2), 26, bytes(64))
    check_model(save(write({}, [table])))


def test_tensors_that_lie_crooked_in_memory(save: Callable[..., Path]) -> None:
    crooked = write({"general.alignment": 8, "a": "x" * 8}, [_weights()], alignment=8)
    assert (crooked.header_bytes + 7) // 8 * 8 % 32, "the test needs another key length"
    assert "alignment of 32" in refused(save(crooked), "not at a multiple of 32")


# Vocabularies


def changed_vocabulary(**changes: object) -> dict[str, object]:
    renamed = {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    return {**bpe_vocabulary(), **renamed}


@pytest.mark.parametrize(
    ("vocabulary", "finding"),
    [
        (changed_vocabulary(tokens=["a", "b", "a"]), "the token 'a' twice"),
        (changed_vocabulary(tokens=["a", b"b\0c", "b"]), "the token 'b' twice"),
        (changed_vocabulary(tokens=NO_STRINGS), "a vocabulary of 0 tokens"),
        (changed_vocabulary(tokens=["a", "x" * 20000]), "a token of 20000 bytes"),
        (changed_vocabulary(tokens=["a"], bos_token_id=5), "adds a BOS token"),
        (changed_vocabulary(tokens=["a"], bos_token_id=0, add_eos_token=True), "adds a EOS"),
        (changed_vocabulary(model="bert", tokens=["a"]), "adds a BOS token"),
        (changed_vocabulary(model="rwkv", tokens=["a", "bc"]), "none for its first byte"),
        ({**spm_vocabulary(), "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>"]}, "byte 0x00"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_vocabularies_that_kill_a_tokenizer(
    save: Callable[..., Path], vocabulary: dict[str, object], finding: str
) -> None:
    refused(save(write({"general.architecture": "llama", **vocabulary}, [])), finding)


def test_unusual_but_right_vocabularies_pass(save: Callable[..., Path]) -> None:
    rwkv = ["\\n", "a", "ab", "\\x62", "\\\\", "'"]
    for vocabulary in (
        changed_vocabulary(tokens=["", b"\xff", "a\0b"], add_bos_token=False, pre="gpt-2"),
        changed_vocabulary(padding_token_id=2**32 - 1),
        changed_vocabulary(model="rwkv", tokens=rwkv),
        {"tokenizer.ggml.model": "none"},
    ):
        check_model(save(write({"general.architecture": "llama", **vocabulary}, [])))


# Files that are no language models


@pytest.mark.parametrize(
    "metadata",
    [
        {"general.architecture": "clip", "clip.block_count": 0},
        {"general.type": "mmproj", "general.architecture": "llama", "llama.block_count": 0},
        {"general.type": "adapter", "general.architecture": "llama", "llama.block_count": 0},
    ],
    ids=["clip", "mmproj", "adapter"],
)
def test_of_projectors_and_adapters_only_the_structure_counts(
    save: Callable[..., Path], metadata: dict[str, object]
) -> None:
    path = save(write(metadata, [_norm()]))
    assert len(check_model(path)) == 1
    os.truncate(path, path.stat().st_size - 1)
    refused(path, "cut off")


def test_an_adapter_must_be_one(save: Callable[..., Path]) -> None:
    adapter = check_adapter(save(write({"general.type": "adapter"}, [])))
    assert adapter.kind == "adapter"
    refused(save(tiny_llama()), "not an adapter but of type 'model'", check=check_adapter)
