"""What one pre-training forward pass reads."""
# T tokens, B sequences, M masked positions.

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bertkit.foundation.packed_batch import PackedBatch


@dataclass(frozen=True)
class PretrainingBatch:
    """Masked sequences with their answers.

    `masked_positions` int64 (M,) index the T tokens, ascending; `masked_labels` int64 (M,) are the ids that stood
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
        """Copy to memory from which a CUDA device reads while the processor goes on."""
        labels = self.next_sentence_labels
        return PretrainingBatch(
            self.inputs.pin_memory(),
            self.masked_positions.pin_memory(),
            self.masked_labels.pin_memory(),
            None if labels is None else labels.pin_memory(),
        )
