"""Masked sequences of one step, to be cut into micro-batches."""
# T tokens, B sequences, M masked positions.

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bertkit.data.pretraining_batch import PretrainingBatch
from bertkit.foundation.packed_batch import PackedBatch


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskedSequences:
    """Sequences end to end.

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
