"""Runs of rows of different lengths, side by side."""
# R rows, B runs, L the longest run.

from __future__ import annotations

import torch
from torch import Tensor


def side_by_side(values: Tensor, bounds: Tensor) -> Tensor:
    """Values (R,), with each run's bounds (B + 1,), as float32 (B, L); what a shorter run lacks is -inf."""
    lengths = bounds.diff()
    longest = int(lengths.max())
    columns = torch.arange(longest, device=values.device)
    there = columns < lengths[:, None]  # (B, L)
    places = (bounds[:-1, None] + columns).clamp(max=len(values) - 1)
    return values.float()[places].masked_fill(~there, -torch.inf)
