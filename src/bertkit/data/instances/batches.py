"""Masked sequences with their answers: as arrays, as batches for the model, and the interface of their sources."""
# T tokens, B sequences, M masked positions.

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertkit.core.batch import PackedBatch


@dataclass(frozen=True)
class PretrainingBatch:
    """Masked sequences with their answers.

    `masked_positions` int64 (M,) index the T tokens, ascending; `masked_labels` int64 (M,) are the ids that were
    there; `next_sentence_labels` int64 (B,) are 0 where the second segment follows the first and 1 where it is
    random, None without next-sentence prediction.
    """

    inputs: PackedBatch
    masked_positions: Tensor
    masked_labels: Tensor
    next_sentence_labels: Tensor | None

    def to(self, device: torch.device) -> PretrainingBatch:
        """Copy to a device."""
        labels = self.next_sentence_labels
        return PretrainingBatch(
            self.inputs.to(device),
            self.masked_positions.to(device, non_blocking=True),
            self.masked_labels.to(device, non_blocking=True),
            None if labels is None else labels.to(device, non_blocking=True),
        )

    def pin_memory(self) -> PretrainingBatch:
        """Copy to memory from which a CUDA device reads while the CPU works."""
        labels = self.next_sentence_labels
        return PretrainingBatch(
            self.inputs.pin_memory(),
            self.masked_positions.pin_memory(),
            self.masked_labels.pin_memory(),
            None if labels is None else labels.pin_memory(),
        )

    def halved(self) -> list[PretrainingBatch]:
        """The first and the last half of the sequences; a batch of one sequence stays as it is."""
        inputs, labels = self.inputs.halved(), self.next_sentence_labels
        if len(inputs) < 2:
            return [self]
        first, second = inputs
        masked = int(torch.searchsorted(self.masked_positions, first.num_tokens))
        count = first.num_sequences
        return [
            PretrainingBatch(
                first,
                self.masked_positions[:masked],
                self.masked_labels[:masked],
                None if labels is None else labels[:count],
            ),
            PretrainingBatch(
                second,
                self.masked_positions[masked:] - first.num_tokens,
                self.masked_labels[masked:],
                None if labels is None else labels[count:],
            ),
        ]


class InstanceSource(Protocol):
    """Where the masked sequences of every epoch come from."""

    def count(self, epoch: int) -> int:
        """How many there are in an epoch."""
        ...

    def batches(
        self, epoch: int, rows: NDArray[np.int64], *, numbers: NDArray[np.int64], micro_batch_tokens: int
    ) -> list[PretrainingBatch]:
        """Turn instances `rows` (B,) of an epoch into micro-batches, longest sequences first.

        `numbers` (B,) key what is drawn for a sequence, whichever batch it is in. A sequence longer than
        `micro_batch_tokens` is alone in its batch.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskedSequences:
    """Masked sequences end to end, as arrays.

    `input_ids` and `token_type_ids` (T,), `lengths` (B,), `masked_positions` (M,) in the T tokens, ascending,
    `masked_labels` (M,), `next_sentence_labels` (B,) or None.
    """

    input_ids: NDArray[np.integer]
    token_type_ids: NDArray[np.integer]
    lengths: NDArray[np.int64]
    masked_positions: NDArray[np.int64]
    masked_labels: NDArray[np.int64]
    next_sentence_labels: NDArray[np.int64] | None

    def cut(self, sequences: Iterable[int]) -> list[PretrainingBatch]:
        """Cut into micro-batches of so many `sequences` each, which sum to B."""
        ends = np.cumsum(self.lengths)
        starts = ends - self.lengths
        batches = []
        stop = 0
        for count in sequences:
            start, stop = stop, stop + count
            tokens = slice(int(starts[start]), int(ends[stop - 1]))
            begin, end = np.searchsorted(self.masked_positions, [tokens.start, tokens.stop])
            labels = self.next_sentence_labels
            batches.append(
                PretrainingBatch(
                    PackedBatch.from_arrays(
                        self.input_ids[tokens], self.token_type_ids[tokens], self.lengths[start:stop]
                    ),
                    torch.from_numpy(self.masked_positions[begin:end] - tokens.start),
                    torch.from_numpy(self.masked_labels[begin:end]),
                    None if labels is None else torch.from_numpy(labels[start:stop]),
                )
            )
        assert stop == len(self.lengths)
        return batches
