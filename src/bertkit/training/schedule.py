"""The learning rate of a step."""

from __future__ import annotations

from bertkit.training.options import OptimizerOptions


def learning_rate(step: int, steps: int, options: OptimizerOptions) -> float:
    """Rate of `step` (from 0) of `steps`: linear warm-up, then linear decay to 0.

    As in google-research/bert the decay is counted from step 0, so the rate drops a little where warm-up ends, and the
    steps of warm-up are rounded down.
    """
    warmup_steps = int(options.warmup_share * steps)
    if step < warmup_steps:
        return options.learning_rate * step / warmup_steps
    return options.learning_rate * (1 - step / steps)
