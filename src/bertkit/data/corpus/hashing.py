"""Which of many hashes repeat an earlier one, with memory that does not grow with their number."""
# n entries of a bucket.

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertkit.data.engine import Engine

_ENTRY = np.dtype([("hash", np.uint64), ("number", np.int64)])
_BUCKET_ENTRIES = 1 << 20
_MAX_BUCKETS = 256
"""An open file each."""


class HashBuckets:
    """Hashes laid into files by their leading bits, so that equal ones meet when one file is read.

    A file takes 16 bytes an entry and is read alone: memory is bounded for 268 million entries, and grows by 60 bytes
    for each 256 beyond.
    """

    def __init__(self, folder: Path, total: int) -> None:
        self._count = min(_MAX_BUCKETS, max(1, -(-total // _BUCKET_ENTRIES)))
        self._paths = [folder / f"bucket-{place:03d}" for place in range(self._count)]
        self._stack = ExitStack()
        self._files = [self._stack.enter_context(path.open("wb")) for path in self._paths]

    def __enter__(self) -> HashBuckets:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for path in self._paths:
            path.unlink(missing_ok=True)

    def append(self, hashes: NDArray[np.uint64], numbers: NDArray[np.int64]) -> None:
        """Add entries (n,) whose numbers are greater than all before."""
        entries = np.empty(len(hashes), _ENTRY)
        entries["hash"], entries["number"] = hashes, numbers
        places = ((hashes >> np.uint64(32)) * np.uint64(self._count) >> np.uint64(32)).astype(np.uint8)
        order = np.argsort(places, kind="stable")  # of bytes, and so in linear time
        bounds = np.searchsorted(places[order], np.arange(self._count + 1))
        entries = entries[order]
        for file, start, stop in zip(self._files, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            entries[start:stop].tofile(file)

    def repeats(self, engine: Engine) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """For bucket after bucket the numbers (n,) of entries whose hash came before, and of the first with it (n,)."""
        self._stack.close()
        return engine.map(_repeats, self._paths)


def _repeats(bucket: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    entries = np.fromfile(bucket, _ENTRY)
    hashes = entries["hash"].copy()
    order = np.argsort(hashes)  # several times as fast as a stable one
    hashes = hashes[order]
    like_next = np.append(hashes[1:] == hashes[:-1], np.zeros(min(1, len(hashes)), bool))
    like_last = np.roll(like_next, 1)
    numbers = entries["number"][order[like_next | like_last]]  # of the hashes that there are several of, group by group
    starts = np.flatnonzero(~like_last[like_next | like_last])
    if not len(starts):
        return numbers, numbers
    firsts = np.repeat(np.minimum.reduceat(numbers, starts), np.diff(starts, append=len(numbers)))
    later = numbers != firsts
    return numbers[later], firsts[later]
