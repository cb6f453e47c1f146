"""The learning rate over a run."""

from __future__ import annotations

import math

from bertkit.training.options import OptimizerOptions


def learning_rate(step: int, steps: int, options: OptimizerOptions) -> float:
    """Rate of `step` (from 0) of `steps`; as in google-research/bert the steps of warm-up are rounded down."""
    return _rate(step / steps, int(options.warmup_share * steps) / steps, options)


def rate_at(progress: float, options: OptimizerOptions) -> float:
    """Rate when the share `progress` of a run is over, of its steps or of its time; beyond 1 it is that at the end."""
    return _rate(min(progress, 1.0), options.warmup_share, options)


def _rate(progress: float, warmup_share: float, options: OptimizerOptions) -> float:
    if progress < warmup_share:
        return options.learning_rate * (progress / warmup_share)
    match options.schedule:
        case "linear":
            # Counted from the start, as in google-research/bert: the rate drops a little where warm-up ends.
            fallen = progress
        case "one-cycle":
            fallen = (progress - warmup_share) / (1 - warmup_share)
        case "trapezoidal":
            fallen = max(0.0, 1 - (1 - progress) / options.decay_share)
            if options.decay_shape == "1-sqrt":
                fallen = math.sqrt(fallen)
    return options.learning_rate * (1 - fallen * (1 - options.final_share))
