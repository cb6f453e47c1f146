"""Fewer different matrix shapes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

_STEP = 64


def pad_rows(rows: Tensor) -> Tensor:
    """On the processor append zero rows to (N, H) up to the next multiple of 64; callers cut them off again.

    Its matrix library builds a kernel for every shape it meets, which costs more than running it: with a new number of
    tokens in every batch, a step takes several times as long. A GPU's does not, and its attention kernel would leave
    the rows of no sequence unwritten.
    """
    return rows if rows.is_cuda else F.pad(rows, (0, 0, 0, -len(rows) % _STEP))
