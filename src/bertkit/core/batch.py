"""Sequences laid end to end without padding, and their grouping into batches of a bounded number of tokens."""
# T tokens, B sequences, L the longest sequence.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class PackedBatch:
    """Sequences without padding.

    `input_ids`, `token_type_ids` and `position_ids` are int64 (T,); `cu_seqlens` is int32 (B+1,), where sequence b
    holds the tokens from `cu_seqlens[b]` up to `cu_seqlens[b + 1]`. `lengths` int64 (B,) say the same in NumPy,
    whichever device the tensors are on, so that nobody waits for a device to know them.
    """

    input_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    cu_seqlens: Tensor
    lengths: NDArray[np.int64]

    @classmethod
    def from_arrays(
        cls, input_ids: NDArray[np.integer], token_type_ids: NDArray[np.integer], lengths: NDArray[np.integer]
    ) -> PackedBatch:
        """Build from ids (T,), segment ids (T,) and the sequences' lengths (B,), which sum to T."""
        cu_seqlens = np.zeros(len(lengths) + 1, np.int32)
        np.cumsum(lengths, out=cu_seqlens[1:])
        assert cu_seqlens[-1] == len(input_ids) == len(token_type_ids)
        positions = np.arange(len(input_ids), dtype=np.int64) - np.repeat(cu_seqlens[:-1].astype(np.int64), lengths)
        return cls(
            input_ids=torch.from_numpy(np.ascontiguousarray(input_ids, np.int64)),
            token_type_ids=torch.from_numpy(np.ascontiguousarray(token_type_ids, np.int64)),
            position_ids=torch.from_numpy(positions),
            cu_seqlens=torch.from_numpy(cu_seqlens),
            lengths=np.asarray(lengths, np.int64),
        )

    @property
    def num_sequences(self) -> int:
        """B."""
        return len(self.cu_seqlens) - 1

    @property
    def num_tokens(self) -> int:
        """T."""
        return len(self.input_ids)

    @property
    def max_seqlen(self) -> int:
        """The longest length."""
        return int(np.max(self.lengths, initial=0))

    def to(self, device: torch.device) -> PackedBatch:
        """Copy to a device."""
        return PackedBatch(
            self.input_ids.to(device, non_blocking=True),
            self.token_type_ids.to(device, non_blocking=True),
            self.position_ids.to(device, non_blocking=True),
            self.cu_seqlens.to(device, non_blocking=True),
            self.lengths,
        )

    def pin_memory(self) -> PackedBatch:
        """Copy to memory from which a CUDA device reads while the CPU works."""
        return PackedBatch(
            self.input_ids.pin_memory(),
            self.token_type_ids.pin_memory(),
            self.position_ids.pin_memory(),
            self.cu_seqlens.pin_memory(),
            self.lengths,
        )

    def halved(self) -> list[PackedBatch]:
        """The first and the last half of the sequences; a batch of one sequence stays as it is."""
        if self.num_sequences < 2:
            return [self]
        half = self.num_sequences // 2
        middle = int(self.cu_seqlens[half])
        return [
            PackedBatch(
                self.input_ids[tokens],
                self.token_type_ids[tokens],
                self.position_ids[tokens],
                bounds - bounds[0],
                lengths,
            )
            for tokens, bounds, lengths in (
                (slice(middle), self.cu_seqlens[: half + 1], self.lengths[:half]),
                (slice(middle, None), self.cu_seqlens[half:], self.lengths[half:]),
            )
        ]


class EncodedSequence(Protocol):
    """What `pack` reads of a sequence of n tokens."""

    @property
    def input_ids(self) -> NDArray[np.integer]:
        """Vocabulary ids (n,)."""

    @property
    def token_type_ids(self) -> NDArray[np.integer]:
        """Segment ids (n,)."""

    def __len__(self) -> int:
        """Tokens."""


def pack(sequences: Sequence[EncodedSequence]) -> PackedBatch:
    """Lay the sequences end to end, in their order."""
    return PackedBatch.from_arrays(
        np.concatenate([sequence.input_ids for sequence in sequences]),
        np.concatenate([sequence.token_type_ids for sequence in sequences]),
        np.array([len(sequence) for sequence in sequences], np.int64),
    )


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


def side_by_side(values: Tensor, bounds: Tensor) -> Tensor:
    """Values (T,) of the sequences between `bounds` (B + 1,) as float32 (B, L), -inf behind a shorter sequence."""
    lengths = bounds.diff()
    columns = torch.arange(int(lengths.max()), device=values.device)
    there = columns < lengths[:, None]  # (B, L)
    places = (bounds[:-1, None] + columns).clamp(max=len(values) - 1)
    return values.float()[places].masked_fill(~there, -torch.inf)
