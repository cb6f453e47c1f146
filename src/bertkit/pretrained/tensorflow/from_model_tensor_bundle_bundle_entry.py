"""What a checkpoint's index says of one tensor, and of the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from bertkit.model.tensor_bundle.wire import (
    Value,
    WireError,
    read_fields,
    write_bytes,
    write_fixed32,
    write_number,
)

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
        """Read an entry; raise `WireError` for one that lies in several slices."""
        fields = dict(read_fields(message))
        if _SLICES in fields:
            raise WireError("it lies in several slices")
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
