"""LAMB and StableAdamW in NumPy float64, written from the papers' algorithms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

BETA1, BETA2, EPSILON = 0.9, 0.98, 1e-6


class ReferenceLamb:
    """You et al. 2020, algorithm 2, with the identity for phi; vectors take Adam's step, as in the authors' code."""

    def __init__(self, weights: Mapping[str, np.ndarray], decay: float) -> None:
        self.x = {name: value.astype(np.float64) for name, value in weights.items()}
        self.m = {name: np.zeros_like(value) for name, value in self.x.items()}
        self.v = {name: np.zeros_like(value) for name, value in self.x.items()}
        self.decay, self.t = decay, 0

    def step(self, gradients: Mapping[str, np.ndarray], rate: float) -> None:
        self.t += 1
        for name, g in gradients.items():
            self.m[name] = BETA1 * self.m[name] + (1 - BETA1) * g
            self.v[name] = BETA2 * self.v[name] + (1 - BETA2) * g * g
            corrected_m = self.m[name] / (1 - BETA1**self.t)
            corrected_v = self.v[name] / (1 - BETA2**self.t)
            r = corrected_m / (np.sqrt(corrected_v) + EPSILON)
            ratio = 1.0
            if g.ndim > 1:
                r = r + self.decay * self.x[name]
                length, of_update = np.linalg.norm(self.x[name].ravel()), np.linalg.norm(r.ravel())
                ratio = length / of_update if length and of_update else 1.0
            self.x[name] = self.x[name] - rate * ratio * r


class ReferenceStableAdamW:
    """Wortsman et al. 2023, algorithm 2, in its own letters: v is the first moment and u the second."""

    def __init__(self, weights: Mapping[str, np.ndarray], decay: float) -> None:
        self.x = {name: value.astype(np.float64) for name, value in weights.items()}
        self.v = {name: np.zeros_like(value) for name, value in self.x.items()}
        self.u = {name: np.zeros_like(value) for name, value in self.x.items()}
        self.decay, self.t, self.clipped = decay, 0, 0

    def step(self, gradients: Mapping[str, np.ndarray], rate: float) -> None:
        self.t += 1
        beta1 = BETA1 * (1 - BETA1 ** (self.t - 1)) / (1 - BETA1**self.t)
        beta2 = BETA2 * (1 - BETA2 ** (self.t - 1)) / (1 - BETA2**self.t)
        for name, g in gradients.items():
            self.v[name] = beta1 * self.v[name] + (1 - beta1) * g
            self.u[name] = beta2 * self.u[name] + (1 - beta2) * g**2
            rms = np.sqrt(np.mean(g**2 / np.maximum(self.u[name], EPSILON**2)))
            eta = rate / max(1.0, rms)
            self.clipped += rms > 1
            decay = self.decay if g.ndim > 1 else 0.0
            moved = self.x[name] - eta * decay * self.x[name]
            self.x[name] = moved - eta * self.v[name] / (np.sqrt(self.u[name]) + EPSILON)
