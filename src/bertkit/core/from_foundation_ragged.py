"""Runs of different lengths in one array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def run_positions(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers from `starts[r]` on, `lengths[r]` of them, for each run r after the other."""
    ends = np.cumsum(lengths)
    positions: NDArray[np.int64] = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)
    return positions


def run_starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where runs that lie end to end start."""
    starts: NDArray[np.int64] = np.cumsum(lengths) - lengths
    return starts
