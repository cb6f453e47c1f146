"""Where pre-training takes its sequences from."""
# B sequences.

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bertkit.data.pretraining_batch import PretrainingBatch


class InstanceSource(Protocol):
    """Masked sequences of every epoch, by number."""

    def count(self, epoch: int) -> int:
        """How many there are in an epoch."""
        ...

    def batches(
        self, epoch: int, rows: NDArray[np.int64], *, numbers: NDArray[np.int64], micro_batch_tokens: int
    ) -> list[PretrainingBatch]:
        """Turn instances `rows` (B,) of an epoch into micro-batches, longest sequences first.

        `numbers` (B,) key what is drawn anew for a sequence wherever it stands in the epoch. A sequence longer than
        `micro_batch_tokens` is alone in its batch.
        """
        ...
