"""Where the training sequences of one epoch lie in the corpus."""
# I instances.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class InstancePlan:
    """Segments A and B of every instance as token ranges of the corpus, all arrays (I,).

    Neighbouring sentences are neighbours in the shards, so a segment is one range. `b_length` is 0 where there is no
    second segment; `is_random` says that B comes from another document.
    """

    a_start: NDArray[np.int64]
    a_length: NDArray[np.int64]
    b_start: NDArray[np.int64]
    b_length: NDArray[np.int64]
    is_random: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.a_start)
