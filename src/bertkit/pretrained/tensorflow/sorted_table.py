"""LevelDB's sorted table: keys with values in blocks, an index of the blocks, and a footer."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from bertkit.model.tensor_bundle.crc32c import masked_crc32c
from bertkit.model.tensor_bundle.wire import WireError, read_varint, write_varint

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
