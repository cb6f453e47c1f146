"""Runs that have learned how frequent words are, and nothing else."""
# V vocabulary.

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_FIRST_STEP = 400
"""Every run passes through this plateau; before, there is nothing to say."""
_SHARE = 0.88
"""Of the entropy: a model that guesses still copies the predicted tokens that stand there unmasked."""
_LEAST_GAIN = 0.01
"""Share by which the loss falls over a third of a run that learns."""


def unigram_entropy(counts: NDArray[np.int64]) -> float:
    """Entropy in nats of the frequencies with `counts` (V,): the loss of guessing without looking at the context."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


class UnigramPlateau:
    """Watches the masked-LM loss of a run's log lines for a standstill about the entropy of its words' frequencies."""

    def __init__(self, entropy: float) -> None:
        self.entropy = entropy
        self._seen: list[tuple[int, float]] = []
        self._next_step = _FIRST_STEP

    def see(self, step: int, loss: float | None) -> bool:
        """Whether the run is stuck by `step`; says so again only after twice as many.

        A loss that is not finite, which `metrics.jsonl` has as null, says nothing.
        """
        if loss is None or not math.isfinite(loss):
            return False
        self._seen.append((step, loss))
        if step < self._next_step:
            return False
        third = step / 3
        before = [loss for at, loss in self._seen if third < at <= 2 * third]
        lately = [loss for at, loss in self._seen if at > 2 * third]
        if not before or not lately:
            return False
        now = float(np.mean(lately))
        stuck = now > _SHARE * self.entropy and now > (1 - _LEAST_GAIN) * float(np.mean(before))
        if stuck:
            self._next_step = 2 * step
        return stuck

    def advice(self, step: int, loss: float) -> str:
        """One line for a person."""
        return (
            f"step {step}: the loss {loss:.2f} stands still near {self.entropy:.2f}, the entropy of the words' "
            "frequencies: the model guesses without context; try --initial-weights informed, a smaller --batch-size, "
            "a longer --warmup-share or another --learning-rate"
        )
