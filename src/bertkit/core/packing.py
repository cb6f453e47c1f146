"""Sequences laid end to end without padding, in NumPy, and their grouping into batches of a bounded number of tokens.

Apart from batch.py, which holds the same in tensors, for inference without torch.
"""
# T tokens, B sequences, L the longest sequence.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class EncodedSequence(Protocol):
    """What is read of a sequence of n tokens."""

    @property
    def input_ids(self) -> NDArray[np.integer]:
        """Vocabulary ids (n,)."""

    @property
    def token_type_ids(self) -> NDArray[np.integer]:
        """Segment ids (n,)."""

    def __len__(self) -> int:
        """Tokens."""


@dataclass(frozen=True)
class PackedArrays:
    """Sequences without padding: `input_ids` and `token_type_ids` int64 (T,), `lengths` int64 (B,), which sum to T."""

    input_ids: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, sequences: Sequence[EncodedSequence]) -> PackedArrays:
        """Lay the sequences end to end, in their order."""
        return cls(
            np.concatenate([sequence.input_ids for sequence in sequences], dtype=np.int64),
            np.concatenate([sequence.token_type_ids for sequence in sequences], dtype=np.int64),
            np.array([len(sequence) for sequence in sequences], np.int64),
        )

    @cached_property
    def cu_seqlens(self) -> NDArray[np.int32]:
        """(B + 1,) where sequence b holds the tokens from `cu_seqlens[b]` up to `cu_seqlens[b + 1]`."""
        bounds = np.zeros(len(self.lengths) + 1, np.int32)
        np.cumsum(self.lengths, out=bounds[1:])
        return bounds

    @property
    def num_sequences(self) -> int:
        """B."""
        return len(self.lengths)

    @property
    def num_tokens(self) -> int:
        """T."""
        return len(self.input_ids)

    @property
    def max_seqlen(self) -> int:
        """L."""
        return int(np.max(self.lengths, initial=0))


def token_budget_batches(
    lengths: NDArray[np.integer] | Sequence[int], max_tokens: int, *, is_padded: bool = False
) -> list[NDArray[np.int64]]:
    """Group sequences of the given lengths (B,) into batches of at most `max_tokens` tokens.

    Returns index arrays. Sequences come longest first (equal lengths in their order), so that a batch holds like
    lengths; a sequence longer than `max_tokens` is a batch of its own. With `is_padded` every sequence counts as much
    as the longest of its batch.
    """
    lengths = np.asarray(lengths, np.int64)
    order = np.argsort(-lengths, kind="stable")
    ends = np.cumsum(lengths[order])
    batches = []
    start = used = 0
    while start < len(order):
        if is_padded:
            stop = min(len(order), start + max(1, max_tokens // max(1, int(lengths[order[start]]))))
        else:
            stop = max(start + 1, int(np.searchsorted(ends, used + max_tokens, side="right")))
        batches.append(order[start:stop])
        start, used = stop, int(ends[stop - 1])
    return batches
