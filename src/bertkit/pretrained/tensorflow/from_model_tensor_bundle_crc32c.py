"""The checksum that TensorFlow keeps of every tensor and block."""
# L lanes, each _LANE bytes of the data, worked on side by side.

from __future__ import annotations

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
