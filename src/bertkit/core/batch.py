"""Sequences laid end to end without padding, as tensors."""
# T tokens, B sequences, L the longest sequence.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertkit.core.packing import EncodedSequence, PackedArrays


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

    @classmethod
    def of_packed(cls, arrays: PackedArrays) -> PackedBatch:
        """The same batch in tensors, which share its memory."""
        return cls.from_arrays(arrays.input_ids, arrays.token_type_ids, arrays.lengths)

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


def pack(sequences: Sequence[EncodedSequence]) -> PackedBatch:
    """Lay the sequences end to end, in their order."""
    return PackedBatch.of_packed(PackedArrays.of(sequences))


def side_by_side(values: Tensor, bounds: Tensor) -> Tensor:
    """Values (T,) of the sequences between `bounds` (B + 1,) as float32 (B, L), -inf behind a shorter sequence."""
    lengths = bounds.diff()
    columns = torch.arange(int(lengths.max()), device=values.device)
    there = columns < lengths[:, None]  # (B, L)
    places = (bounds[:-1, None] + columns).clamp(max=len(values) - 1)
    return values.float()[places].masked_fill(~there, -torch.inf)
