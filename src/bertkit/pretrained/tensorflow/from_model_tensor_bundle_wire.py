"""The few parts of protocol buffers' wire format that checkpoints need."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Value = int | bytes


class WireError(ValueError):
    """The bytes are no message."""


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, and where the next thing starts."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise WireError("a number has no end")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def write_varint(value: int) -> bytes:
    """The reverse of `read_varint`."""
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def read_fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """Field numbers and values; what is nested stays bytes."""
    at = 0
    while at < len(message):
        tag, at = read_varint(message, at)
        kind = tag & 7
        value: Value
        if kind == _VARINT:
            value, at = read_varint(message, at)
        else:
            if kind == _BYTES:
                size, at = read_varint(message, at)
            elif kind in (_FIXED32, _FIXED64):
                size = 4 if kind == _FIXED32 else 8
            else:
                raise WireError(f"a field of kind {kind}")
            if at + size > len(message):
                raise WireError("a field has no end")
            value, at = message[at : at + size], at + size
            if kind != _BYTES:
                value = int.from_bytes(value, "little")
        yield tag >> 3, value


def write_number(field: int, value: int) -> bytes:
    """A field that holds a number; 0 is the default and is left out."""
    return write_varint(field << 3 | _VARINT) + write_varint(value) if value else b""


def write_fixed32(field: int, value: int) -> bytes:
    """A field of four bytes."""
    return write_varint(field << 3 | _FIXED32) + struct.pack("<I", value)


def write_bytes(field: int, value: bytes) -> bytes:
    """A field that holds bytes or another message."""
    return write_varint(field << 3 | _BYTES) + write_varint(len(value)) + value
