"""BERT's optimiser and schedule in NumPy float64, written from their description."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def rate_of(step: int, steps: int, peak: float, warmup_steps: int) -> float:
    """Rate of a step: a rising line before `warmup_steps`, then the line that falls from the peak at step 0 to 0."""
    rising = step < warmup_steps
    return peak * step / warmup_steps if rising else peak * (steps - min(step, steps)) / steps


class ReferenceAdam:
    """Adam without bias correction, decay beside the gradient, gradients clipped together."""

    def __init__(self, weights: Mapping[str, np.ndarray], decay: float = 0.01, norm: float = 1.0) -> None:
        self.weights = {name: value.astype(np.float64) for name, value in weights.items()}
        self.decay, self.norm = decay, norm
        self.m = {name: np.zeros_like(value) for name, value in self.weights.items()}
        self.v = {name: np.zeros_like(value) for name, value in self.weights.items()}

    def step(self, gradients: Mapping[str, np.ndarray], rate: float) -> float:
        """Update all weights; return the global norm before clipping."""
        found = float(np.sqrt(sum(np.square(gradient).sum() for gradient in gradients.values())))
        factor = self.norm / max(self.norm, found)
        for name, gradient in gradients.items():
            clipped = gradient * factor
            self.m[name] = 0.9 * self.m[name] + (1 - 0.9) * clipped
            self.v[name] = 0.999 * self.v[name] + (1 - 0.999) * clipped**2
            update = self.m[name] / (np.sqrt(self.v[name]) + 1e-6)
            if not any(part in name for part in ("LayerNorm", "layer_norm", "bias")):
                update = update + self.decay * self.weights[name]
            self.weights[name] = self.weights[name] - rate * update
        return found
