"""Hashes that find what repeats: of runs of numbers, MinHash signatures, buckets on the disk, those of a shard."""
# N tokens, S sentences, D documents, P permutations, W windows of a document; n numbers or entries, r runs.

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.files import atomic_path
from bertkit.core.randomness import GAMMA, mix64
from bertkit.core.workers import Engine
from bertkit.data.corpus.shards import DOCUMENTS, SENTENCES, TOKENS, shard_file

_BLOCK_NUMBERS = 1 << 18
"""Numbers hashed at a time."""


def run_hashes(values: NDArray[np.unsignedinteger[Any]], bounds: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hash the runs `values[bounds[i]:bounds[i + 1]]`: (n,) and (r+1,) ascending -> (r,).

    Equal runs have equal hashes; different ones collide with a probability of about 2**-64.
    """
    hashes = np.empty(len(bounds) - 1, np.uint64)
    first = 0
    while first < len(hashes):
        stop = max(first + 1, int(np.searchsorted(bounds, bounds[first] + _BLOCK_NUMBERS, side="right")) - 1)
        hashes[first:stop] = _block_hashes(values[bounds[first] : bounds[stop]], bounds[first : stop + 1])
        first = stop
    return hashes


def _spread(values: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.uint64]:
    """Mix numbers; those of 16 bits by a table."""
    if values.dtype == np.uint16:
        spread: NDArray[np.uint64] = _spread_table()[values]
        return spread
    return mix64(values.astype(np.uint64) + GAMMA)


@lru_cache(maxsize=1)
def _spread_table() -> NDArray[np.uint64]:
    return mix64(np.arange(1 << 16, dtype=np.uint64) + GAMMA)


def _block_hashes(values: NDArray[np.unsignedinteger[Any]], bounds: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Sum the numbers of a run, each mixed with its place, over all 64 bits."""
    lengths = np.diff(bounds)
    starts = bounds[:-1] - bounds[0]
    places = np.arange(1, len(values) + 1, dtype=np.uint64)
    places -= np.repeat(starts.astype(np.uint64), lengths)
    places *= GAMMA
    sums = np.zeros(len(values) + 1, np.uint64)
    # Mixed again after the sum, so that swapping a number and a place changes the hash.
    places += _spread(values)
    np.cumsum(mix64(places), out=sums[1:])
    stops = bounds[1:] - bounds[0]
    return mix64(sums[stops] - sums[starts] + lengths.astype(np.uint64))


def window_hashes(values: NDArray[np.unsignedinteger[Any]], width: int) -> NDArray[np.uint64]:
    """Hash every `width` numbers in a row: (n,) -> (max(0, n - width + 1),)."""
    count = max(0, len(values) - width + 1)
    spread = _spread(values)
    hashes = np.zeros(count, np.uint64)
    for place in range(width):
        hashes *= GAMMA
        hashes += spread[place : place + count]
    return mix64(hashes)


PERMUTATIONS = 128
"""The similarity of a pair is estimated with a standard error of at most 1 / (2 sqrt(128)) = 0.044."""

SHINGLE_TOKENS = 5
_FOUND = 0.95
_BLOCK_WINDOWS = 2048
"""Windows permuted at a time: the library's arrays for them fit the cache."""


def signatures(ids: NDArray[np.unsignedinteger[Any]], bounds: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Signatures (D, P) of documents of token ids `ids[bounds[d]:bounds[d + 1]]`, (N,) and (D+1,).

    A document is the set of its windows of five tokens; one that is shorter is one window.
    """
    from datasketch import MinHash  # noqa: PLC0415  # half a second that is needed by one option only

    empty = MinHash(num_perm=PERMUTATIONS, hashfunc=int)
    result = np.empty((len(bounds) - 1, PERMUTATIONS), np.uint32)
    for document, (start, stop) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        width = min(SHINGLE_TOKENS, stop - start)
        windows = np.unique(window_hashes(ids[start:stop], width) >> np.uint64(32))  # (W,) the library takes 32 bits
        signature = empty.copy()
        for first in range(0, len(windows), _BLOCK_WINDOWS):
            signature.update_batch(windows[first : first + _BLOCK_WINDOWS])
        result[document] = signature.hashvalues
    return result


def band_rows(threshold: float) -> int:
    """Rows of a band: the most with which a pair of similarity `threshold` shares a band with a probability of 95 %."""
    rows = range(1, PERMUTATIONS + 1)
    return max(r for r in rows if r == 1 or 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= _FOUND)


def band_hashes(signature: NDArray[np.uint32], rows: int) -> NDArray[np.uint64]:
    """Hashes (D, bands) of the bands of signatures (D, P); similar documents are likely to share one."""
    bands = PERMUTATIONS // rows
    used = np.ascontiguousarray(signature[:, : bands * rows])
    hashes = run_hashes(used.ravel(), np.arange(0, used.size + 1, rows)).reshape(len(signature), bands)
    hashes += np.arange(bands, dtype=np.uint64)
    return mix64(hashes)


def similarities(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Estimated Jaccard similarity of pairs of signatures, (n, P) each -> (n,)."""
    return np.asarray(np.mean(first == second, axis=1))


_ENTRY = np.dtype([("hash", np.uint64), ("number", np.int64)])
_BUCKET_ENTRIES = 1 << 20
_MAX_BUCKETS = 256
"""Each is an open file."""


class HashBuckets:
    """Hashes written to files by their leading bits, so that equal ones are in one file.

    A file has 16 bytes an entry and is read alone: memory is bounded up to 268 million entries, and grows by 60 bytes
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
        order = np.argsort(places, kind="stable")  # a radix sort, for bytes: linear time
        bounds = np.searchsorted(places[order], np.arange(self._count + 1))
        entries = entries[order]
        for file, start, stop in zip(self._files, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            entries[start:stop].tofile(file)

    def repeats(self, engine: Engine) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """For each bucket, the numbers (n,) of entries whose hash occurred before, and of its first entry (n,)."""
        self._stack.close()
        return engine.map(_repeats, self._paths)


def _repeats(bucket: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    entries = np.fromfile(bucket, _ENTRY)
    hashes = entries["hash"].copy()
    order = np.argsort(hashes)  # several times as fast as a stable one
    hashes = hashes[order]
    like_next = np.append(hashes[1:] == hashes[:-1], np.zeros(min(1, len(hashes)), bool))
    like_last = np.roll(like_next, 1)
    numbers = entries["number"][order[like_next | like_last]]  # of the hashes that occur several times, group by group
    starts = np.flatnonzero(~like_last[like_next | like_last])
    if not len(starts):
        return numbers, numbers
    firsts = np.repeat(np.minimum.reduceat(numbers, starts), np.diff(starts, append=len(numbers)))
    later = numbers != firsts
    return numbers[later], firsts[later]


LINE_HASHES, DOCUMENT_HASHES, SIGNATURES = "line-hashes", "document-hashes", "signatures"


def write_shard_hashes(folder: Path, work: Path, name: str, *, near: bool) -> None:
    """Write what `work` lacks: 64-bit hashes of lines (S,) and documents (D,), with `near` signatures (D, P) too.

    8 bytes a line; 8 bytes a document, 520 with its signature.
    """
    parts = [LINE_HASHES, DOCUMENT_HASHES, *([SIGNATURES] if near else [])]
    if all((work / shard_file(name, part)).is_file() for part in parts):
        return
    tokens, sentences, documents = (np.load(folder / shard_file(name, part)) for part in (TOKENS, SENTENCES, DOCUMENTS))
    lines = run_hashes(tokens, sentences)
    arrays: dict[str, NDArray[Any]] = {LINE_HASHES: lines, DOCUMENT_HASHES: run_hashes(lines, documents)}
    if near:
        arrays[SIGNATURES] = signatures(tokens, sentences[documents])
    for part, array in arrays.items():
        with atomic_path(work / shard_file(name, part)) as temporary, temporary.open("wb") as file:
            np.save(file, array)
