"""Runs of rows of different lengths, side by side."""
# R rows, B runs, L the longest run.

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def run_positions(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers from `starts[b]` on, `lengths[b]` of them, for each run after the other."""
    ends = np.cumsum(lengths)
    positions: NDArray[np.int64] = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)
    return positions


def side_by_side(values: Tensor, bounds: Tensor) -> Tensor:
    """Values (R,), with each run's bounds (B + 1,), as float32 (B, L); what a shorter run lacks is -inf."""
    lengths = bounds.diff()
    longest = int(lengths.max())
    columns = torch.arange(longest, device=values.device)
    there = columns < lengths[:, None]  # (B, L)
    places = (bounds[:-1, None] + columns).clamp(max=len(values) - 1)
    return values.float()[places].masked_fill(~there, -torch.inf)
