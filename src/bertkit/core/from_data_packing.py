"""Encoded examples into packed batches: the only collation there is."""
# T tokens, B sequences.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bertkit.foundation.packed_batch import PackedBatch
from bertkit.text.encoded_example import EncodedExample


def pack(examples: Sequence[EncodedExample]) -> PackedBatch:
    """Lay the examples end to end, in their order."""
    return PackedBatch.from_arrays(
        np.concatenate([example.input_ids for example in examples]),
        np.concatenate([example.token_type_ids for example in examples]),
        np.array([len(example) for example in examples], np.int64),
    )


def token_budget_batches(lengths: NDArray[np.integer] | Sequence[int], max_tokens: int) -> list[NDArray[np.int64]]:
    """Group sequences of the given lengths (B,) into batches of at most `max_tokens` tokens.

    Returns index arrays. Sequences come longest first (equal lengths in their order), so that a batch holds like
    lengths; a sequence longer than `max_tokens` is a batch of its own.
    """
    lengths = np.asarray(lengths, np.int64)
    order = np.argsort(-lengths, kind="stable")
    ends = np.cumsum(lengths[order])
    batches = []
    start = used = 0
    while start < len(order):
        stop = max(start + 1, int(np.searchsorted(ends, used + max_tokens, side="right")))
        batches.append(order[start:stop])
        start, used = stop, int(ends[stop - 1])
    return batches
