"""64-bit hashes of runs of numbers, such as a sentence's token ids."""
# n numbers, r runs.

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 1 << 18
"""Numbers that are hashed at a time."""


def run_hashes(values: NDArray[np.unsignedinteger[Any]], bounds: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hash the runs `values[bounds[i]:bounds[i + 1]]`: (n,) and (r+1,) ascending -> (r,).

    Equal runs have equal hashes; two that differ have equal ones with a chance of about 2**-64.
    """
    hashes = np.empty(len(bounds) - 1, np.uint64)
    first = 0
    while first < len(hashes):
        stop = max(first + 1, int(np.searchsorted(bounds, bounds[first] + _BLOCK, side="right")) - 1)
        hashes[first:stop] = _block_hashes(values[bounds[first] : bounds[stop]], bounds[first : stop + 1])
        first = stop
    return hashes


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection that spreads every bit over all, in place: the end of SplitMix64 (Steele, Lea and Flood 2014)."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def _spread(values: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.uint64]:
    """Mix numbers; of small ones each is mixed once for all."""
    if values.dtype == np.uint16:
        spread: NDArray[np.uint64] = _spread_table()[values]
        return spread
    return mixed(values.astype(np.uint64) + _GAMMA)


@lru_cache(maxsize=1)
def _spread_table() -> NDArray[np.uint64]:
    return mixed(np.arange(1 << 16, dtype=np.uint64) + _GAMMA)


def _block_hashes(values: NDArray[np.unsignedinteger[Any]], bounds: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Sum the numbers of a run, each mixed with its place, over all 64 bits."""
    lengths = np.diff(bounds)
    starts = bounds[:-1] - bounds[0]
    places = np.arange(1, len(values) + 1, dtype=np.uint64)
    places -= np.repeat(starts.astype(np.uint64), lengths)
    places *= _GAMMA
    sums = np.zeros(len(values) + 1, np.uint64)
    # Mixed twice: a number and a place that are exchanged give something else.
    places += _spread(values)
    np.cumsum(mixed(places), out=sums[1:])
    stops = bounds[1:] - bounds[0]
    return mixed(sums[stops] - sums[starts] + lengths.astype(np.uint64))


def window_hashes(values: NDArray[np.unsignedinteger[Any]], width: int) -> NDArray[np.uint64]:
    """Hash every `width` numbers in a row: (n,) -> (max(0, n - width + 1),)."""
    count = max(0, len(values) - width + 1)
    spread = _spread(values)
    hashes = np.zeros(count, np.uint64)
    for place in range(width):
        hashes *= _GAMMA
        hashes += spread[place : place + count]
    return mixed(hashes)
