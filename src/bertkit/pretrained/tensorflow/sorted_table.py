"""LevelDB's sorted table, its varints and its checksums."""
# L lanes, each _LANE bytes of the data, worked on side by side.

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78
"""Castagnoli's, bits reversed."""
_LANE = 1024
_ALL = 0xFFFFFFFF
_MASK_DELTA = 0xA282EAD8

Words = NDArray[np.uint32]


def masked_crc32c(data: bytes | memoryview) -> int:
    """The CRC-32C of the data, turned and shifted as LevelDB does, so that a file can hold sums of sums."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _ALL


def crc32c(data: bytes | memoryview) -> int:
    """CRC-32C (RFC 3720, appendix B.4): a remainder, so pieces are worked out apart and put together."""
    length = len(data)
    # Zeros in front change nothing while the register starts at 0; its real start is added at the end.
    padded = np.zeros(-(-max(length, 1) // _LANE) * _LANE, np.uint8)
    padded[len(padded) - length :] = np.frombuffer(data, np.uint8)
    words = np.ascontiguousarray(padded.view("<u4").reshape(-1, _LANE // 4).T)  # (_LANE / 4, L)
    low, high = _word_tables()
    registers = np.zeros(words.shape[1], np.uint32)  # (L,)
    for row in words:
        registers ^= row
        registers = low[registers & 0xFFFF] ^ high[registers >> 16]
    shift = _zeros_operator(_LANE)
    while len(registers) > 1:
        if len(registers) % 2:
            registers = np.concatenate((np.zeros(1, np.uint32), registers))
        registers = _apply(shift, registers[::2]) ^ registers[1::2]
        shift = _apply(shift, shift)
    start = np.array([_ALL], np.uint32)
    return int(registers[0] ^ _apply(_zeros_operator(length), start)[0]) ^ _ALL


def _apply(operator: Words, registers: Words) -> Words:
    """A linear map, given by the images of the 32 bits, of each register."""
    result = np.zeros_like(registers)
    for bit, image in enumerate(operator):
        result ^= ((registers >> bit) & 1) * image
    return result


@cache
def _zeros_operator(length: int) -> Words:
    """What `length` zero bytes do to a register."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    result, square = bits, _byte_table()[bits & 0xFF] ^ (bits >> 8)
    while length:
        if length & 1:
            result = _apply(square, result)
        square = _apply(square, square)
        length >>= 1
    return result


@cache
def _byte_table() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


@cache
def _word_tables() -> tuple[Words, Words]:
    """What four zero bytes do to a register's low and to its high half."""
    halves = np.arange(1 << 16, dtype=np.uint32)
    four = _zeros_operator(4)
    return _apply(four, halves), _apply(four, halves << np.uint32(16))


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


_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_FOOTER = 48
_TRAILER = 5
"""Behind each block: one byte for the compression, four for the checksum."""
_PLAIN = 0

Handle = tuple[int, int]
"""Where a block starts, and its size."""


def read_table(data: bytes) -> dict[bytes, bytes]:
    """All entries; raise `WireError` where the bytes are no table or a checksum does not fit."""
    if len(data) < _FOOTER or data[-8:] != _MAGIC:
        raise WireError("the end of a table is missing")
    footer = data[-_FOOTER:]
    _, at = _read_handle(footer, 0)  # of the block of meta entries, which nothing uses
    index, _ = _read_handle(footer, at)
    entries: dict[bytes, bytes] = {}
    for _, handle in _read_block(data, index):
        entries.update(_read_block(data, _read_handle(handle, 0)[0]))
    return entries


def write_table(entries: Mapping[bytes, bytes]) -> bytes:
    """A table with one block, keys in order and in full."""
    written = bytearray()

    def add(block: bytes) -> bytes:
        handle = write_varint(len(written)) + write_varint(len(block))
        stored = block + bytes([_PLAIN])
        written.extend(stored + struct.pack("<I", masked_crc32c(stored)))
        return handle

    data = add(_block(entries))
    meta = add(_block({}))
    index = add(_block({max(entries): data}))
    return bytes(written) + (meta + index).ljust(_FOOTER - len(_MAGIC), b"\0") + _MAGIC


def _read_handle(data: bytes, at: int) -> tuple[Handle, int]:
    start, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return (start, size), at


def _read_block(data: bytes, handle: Handle) -> Iterator[tuple[bytes, bytes]]:
    """Entries of a block; each key says how much of the one before it begins with."""
    start, size = handle
    stored = data[start : start + size + 1]
    trailer = data[start + size + 1 : start + size + _TRAILER]
    if len(trailer) < 4 or struct.unpack("<I", trailer)[0] != masked_crc32c(stored):
        raise WireError("a block's checksum does not fit")
    if stored[-1] != _PLAIN:
        raise WireError(f"a block is compressed (kind {stored[-1]}), as TensorFlow never writes it")
    restarts = struct.unpack("<I", stored[-5:-1])[0]
    end = size - 4 * (restarts + 1)
    if end < 0:
        raise WireError("a block is too short")
    key, at = b"", 0
    while at < end:
        shared, at = read_varint(stored, at)
        rest, at = read_varint(stored, at)
        length, at = read_varint(stored, at)
        key = key[:shared] + stored[at : at + rest]
        yield key, stored[at + rest : at + rest + length]
        at += rest + length


def _block(entries: Mapping[bytes, bytes]) -> bytes:
    """Every key is a restart point, so none leans on the one before."""
    block, restarts = bytearray(), []
    for key in sorted(entries):
        restarts.append(len(block))
        value = entries[key]
        block += write_varint(0) + write_varint(len(key)) + write_varint(len(value)) + key + value
    restarts = restarts or [0]
    return bytes(block) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
