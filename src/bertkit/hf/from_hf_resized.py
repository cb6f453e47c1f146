"""A table with another number of rows."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def resized(table: Tensor, rows: int, new_rows: str | float) -> Tensor:
    """Cut or lengthen along the first dimension; new rows are the "mean" of all, or drawn with that deviation."""
    made = table.new_empty(rows, *table.shape[1:])
    common = min(rows, len(table))
    made[:common] = table[:common]
    if isinstance(new_rows, float):
        made[common:].normal_(0.0, new_rows)
    else:
        made[common:] = table.float().mean(0).to(table.dtype)
    return made
