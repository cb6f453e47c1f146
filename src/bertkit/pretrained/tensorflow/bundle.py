"""Tensor bundles: an index that is a sorted table, and files of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bertkit.core.errors import InputError
from bertkit.core.files import atomic_path
from bertkit.core.lazy import lazy_module
from bertkit.pretrained.tensorflow.sorted_table import (
    Value,
    WireError,
    masked_crc32c,
    read_fields,
    read_table,
    write_bytes,
    write_fixed32,
    write_number,
    write_table,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")

_DTYPE, _SHAPE, _SHARD, _OFFSET, _SIZE, _CHECKSUM, _SLICES = range(1, 8)
_DIMENSION, _DIMENSION_SIZE = 2, 1
_NUM_SHARDS, _ENDIANNESS, _VERSION = 1, 2, 3
_LITTLE_ENDIAN = 0
_PRODUCER = write_number(1, 1)
"""The version of the format that every TensorFlow since 1.0 writes."""


@dataclass(frozen=True, kw_only=True)
class BundleEntry:
    """TensorFlow's `BundleEntryProto`: `size` bytes at `offset` of a file, with their checksum."""

    dtype: int
    """TensorFlow's number for the type."""
    shape: tuple[int, ...]
    offset: int
    size: int
    checksum: int
    shard: int = 0

    @classmethod
    def parse(cls, message: bytes) -> BundleEntry:
        """Read an entry; raise `WireError` for one that is in several slices."""
        fields = dict(read_fields(message))
        if _SLICES in fields:
            raise WireError("it is in several slices")
        return cls(
            dtype=_number(fields, _DTYPE),
            shape=tuple(
                _number(dict(read_fields(_message(value))), _DIMENSION_SIZE)
                for number, value in read_fields(_message(fields.get(_SHAPE, b"")))
                if number == _DIMENSION
            ),
            offset=_number(fields, _OFFSET),
            size=_number(fields, _SIZE),
            checksum=_number(fields, _CHECKSUM),
            shard=_number(fields, _SHARD),
        )

    def message(self) -> bytes:
        """The reverse of `parse`."""
        dimensions = b"".join(write_bytes(_DIMENSION, write_number(_DIMENSION_SIZE, size)) for size in self.shape)
        return (
            write_number(_DTYPE, self.dtype)
            + write_bytes(_SHAPE, dimensions)
            + write_number(_SHARD, self.shard)
            + write_number(_OFFSET, self.offset)
            + write_number(_SIZE, self.size)
            + write_fixed32(_CHECKSUM, self.checksum)
        )


def read_header(message: bytes) -> int:
    """The number of files that hold the tensors' bytes."""
    fields = dict(read_fields(message))
    if _number(fields, _ENDIANNESS) != _LITTLE_ENDIAN:
        raise WireError("its numbers are big-endian")
    return _number(fields, _NUM_SHARDS)


def write_header(num_shards: int) -> bytes:
    """The reverse of `read_header`."""
    return write_number(_NUM_SHARDS, num_shards) + write_bytes(_VERSION, _PRODUCER)


def _number(fields: dict[int, Value], field: int) -> int:
    value = fields.get(field, 0)
    if not isinstance(value, int):
        raise WireError(f"field {field} is no number")
    return value


def _message(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise WireError("a number where a message belongs")
    return value


INDEX_SUFFIX = ".index"
_HEADER = b""
"""The key under which a checkpoint describes itself."""
_FLOAT = 1
_DTYPES = {_FLOAT: "float32", 2: "float64", 3: "int32", 9: "int64", 14: "bfloat16", 19: "float16"}
"""TensorFlow's numbers for types."""


class Bundle(Mapping[str, "Tensor"]):
    """The tensors of a checkpoint by name, read and checked when they are asked for."""

    def __init__(self, index: Path) -> None:
        """Read the index; raise `InputError` where it is broken or a file of tensors is missing."""
        self._index = index
        try:
            table = read_table(index.read_bytes())
            count = read_header(table.pop(_HEADER, b""))
            entries = {key.decode(): BundleEntry.parse(value) for key, value in table.items()}
        except (WireError, UnicodeDecodeError) as error:
            raise InputError(f"{index} is not a whole TensorFlow checkpoint index ({error}): copy it again") from None
        self.files = tuple(_data_file(index, shard, count) for shard in range(count))
        if missing := [file.name for file in self.files if not file.is_file()]:
            raise InputError(f"{index} names {', '.join(missing)}, not in the folder: copy all {count} parts")
        # Strings, which some checkpoints hold about themselves, are no weights.
        self._entries = {name: entry for name, entry in entries.items() if entry.dtype in _DTYPES}

    def __getitem__(self, name: str) -> Tensor:
        """Raise `InputError` where the bytes are not those that were written."""
        entry = self._entries[name]
        dtype = getattr(torch, _DTYPES[entry.dtype])
        count = int(np.prod(entry.shape, dtype=np.int64))
        file = self.files[entry.shard]
        size = file.stat().st_size
        if entry.size != count * dtype.itemsize or entry.offset + entry.size > size:
            raise InputError(f"{file} has {size:,} bytes, too few for {name}: copy it again")
        data = np.fromfile(file, np.uint8, entry.size, offset=entry.offset)
        if masked_crc32c(data.data) != entry.checksum:
            raise InputError(f"{file}: the checksum of {name} does not fit: copy it again")
        return torch.from_numpy(data).view(dtype).view(entry.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def write_bundle(prefix: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write float32 tensors as `prefix.index` and `prefix.data-00000-of-00001`."""
    index = prefix.with_name(prefix.name + INDEX_SUFFIX)
    entries, offset = {_HEADER: write_header(1)}, 0
    with atomic_path(_data_file(index, 0, 1)) as path, path.open("wb") as file:
        for name in sorted(tensors):
            data = tensors[name].contiguous().numpy().astype("<f4", copy=False).tobytes()
            shape = tuple(tensors[name].shape)
            entry = BundleEntry(dtype=_FLOAT, shape=shape, offset=offset, size=len(data), checksum=masked_crc32c(data))
            entries[name.encode()] = entry.message()
            offset += file.write(data)
    with atomic_path(index) as path:
        path.write_bytes(write_table(entries))


def _data_file(index: Path, shard: int, count: int) -> Path:
    return index.with_name(f"{index.name.removesuffix(INDEX_SUFFIX)}.data-{shard:05}-of-{count:05}")
