"""Read the header of one GGUF file and check its structure.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; what the native reader
accepts: ``ggml/src/gguf.cpp``. Every count, length and offset is checked against the bytes that
are really there before it is used. Tensor data is never read, and the file is never mapped:
a mapped file that another program shortens kills the process with SIGBUS.
"""

from __future__ import annotations

import math
import os
import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, overload

from llamaherd.errors import ModelLoadError
from llamaherd.native import bindings

MAGIC = b"GGUF"
READABLE_VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 1 << 20
MAX_KEY_BYTES = 65535  # the format's limit
MAX_NAME_BYTES = 63  # GGML_MAX_NAME less the final NUL
MAX_DIMENSIONS = 4  # GGML_MAX_DIMS
MAX_HEADER_BYTES = 1 << 30  # the largest real ones hold about 20 MB
MIN_PAIR_BYTES = 8 + 1 + 4 + 1  # key length, key, type, value
MIN_TENSOR_BYTES = 8 + 4 + 4 + 8  # name length, n_dims, type, offset
FIRST_READ_BYTES = 1 << 20

AGAIN = "Fetch or convert the file again."
DAMAGED = "The file is damaged: fetch or convert it again."
CUT_SHORT = "The download or copy was cut short: fetch the file again."

# How files that are often taken for a GGUF begin, what they are, and what to do about it.
FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the model", "Run `git lfs pull`."),
    (b"<", "is a web page, not a model", "Fetch the file itself, not the page that shows it."),
    (b"PK\x03\x04", "is a zip archive (a PyTorch checkpoint?), not GGUF", "Convert it to GGUF."),
    (b"tjgg", "is a GGJT file, a format older than GGUF", "Get a GGUF conversion of the model."),
    (b"fmgg", "is a GGMF file, a format older than GGUF", "Get a GGUF conversion of the model."),
    (b"lmgg", "is a GGML file, a format older than GGUF", "Get a GGUF conversion of the model."),
)


class ValueType(IntEnum):
    """The type of a metadata value (``enum gguf_type``)."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


_SCALARS: dict[int, struct.Struct] = {
    ValueType.UINT8: struct.Struct("<B"),
    ValueType.INT8: struct.Struct("<b"),
    ValueType.UINT16: struct.Struct("<H"),
    ValueType.INT16: struct.Struct("<h"),
    ValueType.UINT32: struct.Struct("<I"),
    ValueType.INT32: struct.Struct("<i"),
    ValueType.FLOAT32: struct.Struct("<f"),
    ValueType.BOOL: struct.Struct("<?"),
    ValueType.UINT64: struct.Struct("<Q"),
    ValueType.INT64: struct.Struct("<q"),
    ValueType.FLOAT64: struct.Struct("<d"),
}
_U32 = _SCALARS[ValueType.UINT32]
_I32 = _SCALARS[ValueType.INT32]
_U64 = _SCALARS[ValueType.UINT64]


@dataclass(frozen=True, eq=False, slots=True)
class NumberArray(Sequence[float]):
    """An array of numbers or booleans, kept as the bytes of the file."""

    type: ValueType
    data: bytes

    def __len__(self) -> int:
        return len(self.data) // _SCALARS[self.type].size

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> list[float]: ...
    def __getitem__(self, index: int | slice) -> float | list[float]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        item = _SCALARS[self.type]
        value: float = item.unpack_from(self.data, range(len(self))[index] * item.size)[0]
        return value


@dataclass(frozen=True, eq=False, slots=True)
class StringArray(Sequence[str]):
    """An array of strings, kept as the bytes of the file and decoded on demand."""

    data: bytes  # u64 length, bytes, u64 length, bytes, ...
    ends: array[int]  # where each string ends in `data`

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = range(len(self.ends))[index]
        start = self.ends[at - 1] if at else 0
        return self.data[start + 8 : self.ends[at]].decode("utf-8", "replace")

    def raw(self) -> list[bytes]:
        """All strings as bytes: they need not be UTF-8."""
        data, starts = self.data, [0, *self.ends]
        return [data[start + 8 : end] for start, end in zip(starts, self.ends, strict=False)]


Value = bool | int | float | str | NumberArray | StringArray


@dataclass(frozen=True)
class TensorInfo:
    """One entry of the tensor table."""

    name: str
    shape: tuple[int, ...]  # as stored: the first dimension is the row length
    type: int  # enum ggml_type
    offset: int  # from the start of the data
    size_bytes: int


@dataclass(frozen=True)
class GGUFFile:
    """The header of one GGUF file whose structure has been checked."""

    path: Path
    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...]
    data_offset: int
    size_bytes: int
    types: Mapping[str, ValueType] = field(repr=False)  # of the metadata values

    def text(self, key: str) -> str | None:
        """The value of `key` if it is a string."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def integer(self, key: str) -> int | None:
        """The value of `key` if it is an integer."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def architecture(self) -> str:
        """For example "llama"; "" if the file does not say."""
        return self.text("general.architecture") or ""

    @property
    def kind(self) -> str:
        """``general.type``: "model", "adapter", "mmproj", ...; "model" if the file does not say."""
        return self.text("general.type") or "model"

    @property
    def alignment(self) -> int:
        """The alignment of tensor data in bytes."""
        return self.integer("general.alignment") or DEFAULT_ALIGNMENT

    @property
    def n_parameters(self) -> int:
        """The number of weights in this file."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    @property
    def file_type(self) -> str | None:
        """The name of the quantization, for example "Q4_K - Medium"."""
        number = self.integer("general.file_type")
        if number is None or not 0 <= number < 1 << 31:
            return None
        name = bindings.llama_ftype_name(number)
        return name.decode() if name else None

    @property
    def split_no(self) -> int:
        """Which part of a split model this file is, from 0."""
        return self.integer("split.no") or 0

    @property
    def split_count(self) -> int:
        """In how many parts the model is split; 1 if it is not."""
        return self.integer("split.count") or 1


def read_gguf(path: str | os.PathLike[str]) -> GGUFFile:
    """Read the header of the GGUF file at `path`; :class:`ModelLoadError` says what is wrong."""
    path = Path(path)
    if not path.exists():
        is_named = path.suffix == ".gguf"
        remedy = "Check the path." if is_named else "Give the path of a .gguf file."
        raise ModelLoadError(path, "does not exist", remedy)
    if path.is_dir():
        raise ModelLoadError(path, "is a folder", "Name the .gguf file in it.")
    if not path.is_file():
        raise ModelLoadError(path, "is not a regular file", "Name a .gguf file.")
    try:
        with path.open("rb") as file:
            return _Reader(path, file).read()
    except OSError as error:
        finding = f"cannot be read ({error.strerror or error})"
        raise ModelLoadError(path, finding, "Check its permissions and the disk.") from error


class _Reader:
    """Walks once through the header; `buffer` holds the file from its start to beyond `pos`."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.size_bytes = os.fstat(file.fileno()).st_size
        self.buffer = bytearray()
        self.pos = 0

    def read(self) -> GGUFFile:
        version, n_tensors, n_pairs = self.start()
        metadata, types = self.pairs(n_pairs)
        alignment = self.alignment(metadata, types)
        tensors = self.tensor_table(n_tensors, alignment)
        # Without tensors there is no data, and no padding either.
        data_offset = _pad(self.pos, alignment) if tensors else self.pos
        self.check_data(tensors, data_offset, alignment)
        return GGUFFile(self.path, version, metadata, tensors, data_offset, self.size_bytes, types)

    def fail(self, finding: str, remedy: str = DAMAGED) -> ModelLoadError:
        return ModelLoadError(self.path, finding, remedy)

    # bytes

    def load(self, end: int, what: str) -> None:
        """Make buffer[:end] valid; `what` is being read."""
        if end <= len(self.buffer):
            return
        if end > self.size_bytes:
            raise self.fail(f"ends after {self.size_bytes} bytes, inside {what}", CUT_SHORT)
        if end > MAX_HEADER_BYTES:
            raise self.fail(f"has a header of more than {MAX_HEADER_BYTES} bytes")
        wanted = min(max(end, 4 * len(self.buffer), FIRST_READ_BYTES), self.size_bytes)
        self.buffer += self.file.read(wanted - len(self.buffer))
        if end > len(self.buffer):  # another program shortened it meanwhile
            raise self.fail(f"ends after {len(self.buffer)} bytes, inside {what}", CUT_SHORT)

    def take(self, length: int, what: str) -> bytes:
        start, self.pos = self.pos, self.pos + length
        self.load(self.pos, what)
        return bytes(self.buffer[start : self.pos])

    def number(self, item: struct.Struct, what: str) -> int:
        value: int = item.unpack(self.take(item.size, what))[0]
        return value

    def string(self, what: str) -> bytes:
        length = self.number(_U64, what)
        self.check_room(length, 1, what)
        return self.take(length, what)

    def name(self, what: str, max_bytes: int) -> str:
        """A key or a tensor name. Native code ends names at a NUL, so one must not hold any."""
        raw = self.string(what)
        if len(raw) > max_bytes:
            raise self.fail(f"{what} is {len(raw)} bytes long, more than {max_bytes}")
        if b"\0" in raw:
            raise self.fail(f"{what} holds a NUL byte")
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.fail(f"{what} is not UTF-8 text") from None

    def check_room(self, count: int, least_bytes: int, what: str) -> None:
        left = self.size_bytes - self.pos
        if count * least_bytes > left:
            raise self.fail(f"{what} counts {count} items where {left} bytes are left", CUT_SHORT)
        if count * least_bytes > MAX_HEADER_BYTES:
            raise self.fail(f"{what} counts {count} items, more than any model has")

    # parts of the header

    def start(self) -> tuple[int, int, int]:
        """Magic and version; how many tensors and key-value pairs follow."""
        self.check_magic()
        version = self.number(_U32, "the version")
        self.check_version(version)
        n_tensors = self.number(_U64, "the number of tensors")
        n_pairs = self.number(_U64, "the number of metadata keys")
        self.check_room(n_pairs, MIN_PAIR_BYTES, "the metadata")
        self.check_room(n_tensors, MIN_TENSOR_BYTES, "the tensor table")
        return version, n_tensors, n_pairs

    def check_magic(self) -> None:
        if self.size_bytes == 0:
            raise self.fail("is empty", AGAIN)
        self.load(min(self.size_bytes, 64), "the magic")
        head = bytes(self.buffer[:64])
        if head[:4] == MAGIC:
            self.pos = 4
            return
        for start, finding, remedy in FOREIGN:
            if head.lstrip().startswith(start):
                raise self.fail(finding, remedy)
        if head[8:10] == b'{"':
            raise self.fail("is a safetensors file, not GGUF", "Convert it to GGUF.")
        raise self.fail(
            f"is not a GGUF file (it begins with {head[:4]!r})", "Name a .gguf file or fetch one."
        )

    def check_version(self, version: int) -> None:
        if version in READABLE_VERSIONS:
            return
        if int.from_bytes(version.to_bytes(4, "little"), "big") in (1, *READABLE_VERSIONS):
            raise self.fail(
                "is a big-endian GGUF file, made for another kind of machine",
                "Get the little-endian file, or convert it with `gguf-convert-endian`.",
            )
        remedy = "Convert the model again." if version < 2 else "Update llama.cpp and llamaherd."
        raise self.fail(f"is GGUF version {version}; versions 2 and 3 are readable", remedy)

    def pairs(self, count: int) -> tuple[dict[str, Value], dict[str, ValueType]]:
        metadata: dict[str, Value] = {}
        types: dict[str, ValueType] = {}
        for index in range(count):
            key = self.name(f"metadata key {index}", MAX_KEY_BYTES)
            if not key:
                raise self.fail(f"metadata key {index} is empty")
            if key in metadata:
                raise self.fail(f"metadata key {key!r} occurs twice")
            types[key] = self.value_type(key)
            metadata[key] = self.value(key, types[key])
        return metadata, types

    def value_type(self, key: str) -> ValueType:
        number = self.number(_I32, f"the type of {key!r}")
        try:
            return ValueType(number)
        except ValueError:
            raise self.fail(f"{key!r} has the unknown type {number}") from None

    def value(self, key: str, kind: ValueType) -> Value:
        what = f"the value of {key!r}"
        if kind is ValueType.ARRAY:
            return self.array(key, what)
        if kind is ValueType.STRING:
            return self.string(what).decode("utf-8", "replace")
        return self.number(_SCALARS[kind], what)

    def array(self, key: str, what: str) -> Value:
        kind = self.value_type(key)
        count = self.number(_U64, what)
        if kind is ValueType.ARRAY:
            raise self.fail(f"{key!r} is an array of arrays, which llama.cpp does not read")
        if kind is ValueType.STRING:
            return self.string_array(count, what)
        item = _SCALARS[kind]
        self.check_room(count, item.size, what)
        return NumberArray(kind, self.take(count * item.size, what))

    def string_array(self, count: int, what: str) -> StringArray:
        """The one hot loop: a vocabulary of 128k tokens and its merges are 400k strings."""
        self.check_room(count, 8, what)
        start = pos = self.pos
        buffer, unpack, ends = self.buffer, _U64.unpack_from, array("Q", bytes(8 * count))
        loaded = len(buffer)
        try:
            for index in range(count):
                if pos + 8 > loaded:  # a string that runs past the end is found here, or by take()
                    self.load(pos + 8, what)
                    loaded = len(buffer)
                pos += 8 + unpack(buffer, pos)[0]
                ends[index] = pos - start
        except OverflowError:  # a length of nearly 2**64
            raise self.fail(f"ends inside {what}") from None
        return StringArray(self.take(pos - start, what), ends)

    def alignment(self, metadata: dict[str, Value], types: dict[str, ValueType]) -> int:
        key = "general.alignment"
        if types.get(key, ValueType.UINT32) is not ValueType.UINT32:
            raise self.fail(f"{key!r} is not a 32-bit unsigned integer")
        value = metadata.get(key, DEFAULT_ALIGNMENT)
        assert isinstance(value, int)
        if not 0 < value <= MAX_ALIGNMENT or value & (value - 1):
            raise self.fail(f"{key!r} is {value}, not a power of two up to {MAX_ALIGNMENT}")
        return value

    def tensor_table(self, count: int, alignment: int) -> tuple[TensorInfo, ...]:
        tensors: dict[str, TensorInfo] = {}
        expected = 0  # tensors lie one after the other, each padded to the alignment
        for index in range(count):
            tensor = self.tensor(index)
            if tensor.name in tensors:
                raise self.fail(f"tensor {tensor.name!r} occurs twice")
            if tensor.offset != expected:
                raise self.fail(
                    f"tensor {tensor.name!r} lies at data offset {tensor.offset}, "
                    f"where {expected} is expected"
                )
            tensors[tensor.name] = tensor
            expected = _pad(tensor.offset + tensor.size_bytes, alignment)
        return tuple(tensors.values())

    def tensor(self, index: int) -> TensorInfo:
        name = self.name(f"the name of tensor {index}", MAX_NAME_BYTES)
        what = f"the entry of tensor {name!r}"
        n_dimensions = self.number(_U32, what)
        if n_dimensions > MAX_DIMENSIONS:
            raise self.fail(f"tensor {name!r} has {n_dimensions} dimensions, more than 4")
        shape = tuple(self.number(_U64, what) for _ in range(n_dimensions))
        type_ = self.number(_I32, what)
        size_bytes = self.tensor_bytes(name, shape, type_)
        return TensorInfo(name, shape, type_, self.number(_U64, what), size_bytes)

    def tensor_bytes(self, name: str, shape: tuple[int, ...], type_: int) -> int:
        if max(shape, default=1) > 1 << 62 or math.prod(shape) > 1 << 62:
            raise self.fail(f"tensor {name!r} has the impossible shape {shape}")
        if not 0 <= type_ < bindings.GGML_TYPE_COUNT:
            raise self.fail(f"tensor {name!r} has the unknown type {type_}")
        block = bindings.ggml_blck_size(type_)
        if block <= 0:
            raise self.fail(
                f"tensor {name!r} has type {type_}, which llama.cpp reads no more",
                "Quantize the model again.",
            )
        row = shape[0] if shape else 1
        if row % block:
            raise self.fail(f"tensor {name!r} has rows of {row}, not a multiple of {block}")
        type_bytes: int = bindings.ggml_type_size(type_)
        return math.prod(shape) // block * type_bytes

    def check_data(self, tensors: tuple[TensorInfo, ...], data_offset: int, alignment: int) -> None:
        """The data of the last tensor, and so of every one, lies inside the file."""
        if not tensors:
            return
        last = tensors[-1]
        end = data_offset + last.offset + last.size_bytes
        if end > self.size_bytes:
            outside = _first_outside(tensors, self.size_bytes - data_offset)
            raise self.fail(
                f"holds {self.size_bytes} of at least {end} bytes: "
                f"the data of {outside!r} is cut off",
                CUT_SHORT,
            )


def _first_outside(tensors: tuple[TensorInfo, ...], data_bytes: int) -> str:
    return next(t.name for t in tensors if t.offset + t.size_bytes > data_bytes)


def _pad(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment
