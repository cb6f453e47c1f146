"""Between which values a metric lies."""

from __future__ import annotations

import math

from bertkit.tasks.evaluation import LOSS

_CORRELATIONS = ("matthews", "pearson", "spearman")


def metric_range(name: str) -> tuple[float, float]:
    """The lowest and the highest value of a metric by name, whatever set it is measured on."""
    if name.startswith(LOSS):
        return 0.0, math.inf
    return (-1.0, 1.0) if name.startswith(_CORRELATIONS) else (0.0, 1.0)
