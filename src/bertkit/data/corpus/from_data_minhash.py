"""MinHash signatures of documents (Broder 1997), to find those that are nearly the same."""
# N tokens, D documents, P permutations, W windows of a document.

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.data.run_hashes import mixed, run_hashes, window_hashes

PERMUTATIONS = 128
"""The share that a pair has in common is estimated with a standard error of at most 1 / (2 sqrt(128)) = 0.044."""

SHINGLE_TOKENS = 5
_FOUND = 0.95
_BLOCK = 2048
"""Windows that are permuted at a time: what the library makes of them stays in the cache."""


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
        for first in range(0, len(windows), _BLOCK):
            signature.update_batch(windows[first : first + _BLOCK])
        result[document] = signature.hashvalues
    return result


def band_rows(threshold: float) -> int:
    """Rows a band: the most with which a pair of similarity `threshold` shares a band with 95 %."""
    rows = range(1, PERMUTATIONS + 1)
    return max(r for r in rows if r == 1 or 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= _FOUND)


def band_hashes(signature: NDArray[np.uint32], rows: int) -> NDArray[np.uint64]:
    """Hashes (D, bands) of the bands of signatures (D, P); documents that are alike are likely to share one."""
    bands = PERMUTATIONS // rows
    used = np.ascontiguousarray(signature[:, : bands * rows])
    hashes = run_hashes(used.ravel(), np.arange(0, used.size + 1, rows)).reshape(len(signature), bands)
    hashes += np.arange(bands, dtype=np.uint64)
    return mixed(hashes)


def similarities(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Estimated Jaccard similarity of pairs of signatures, (n, P) each -> (n,)."""
    return np.asarray(np.mean(first == second, axis=1))
