"""Sums over the steps since the last log line."""

from __future__ import annotations

import math
from collections import defaultdict

from torch import Tensor

from bertkit.training.objective import LossTerm
from bertkit.training.pretraining_objective import MASKED_LM

_LARGEST_EXPONENT = 700.0
"""Beyond it a float64 overflows."""


class StepFigures:
    """Collects losses, right answers, tokens and time; tensors are read only when `take` is called."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._totals: dict[str, Tensor] = {}
        self._correct: dict[str, Tensor] = {}
        self._counts: dict[str, int] = defaultdict(int)
        self._tokens, self._flops, self._seconds = 0, 0.0, 0.0

    def add_term(self, name: str, term: LossTerm, count: int) -> None:
        """Add one term of one micro-batch with its `count` items."""
        total = term.total.detach()
        self._totals[name] = self._totals[name] + total if name in self._totals else total
        if term.correct is not None:
            self._correct[name] = self._correct[name] + term.correct if name in self._correct else term.correct
        self._counts[name] += count

    def add_work(self, tokens: int = 0, flops: float = 0.0, seconds: float = 0.0) -> None:
        """Add what was computed and how long it took."""
        self._tokens += tokens
        self._flops += flops
        self._seconds += seconds

    def take(self) -> dict[str, float]:
        """`X_loss` and `X_accuracy` of every term, the masked LM's perplexity, and rates; then start over."""
        figures = {}
        for name, count in self._counts.items():
            figures[f"{name}_loss"] = float(self._totals[name]) / max(1, count)
            if name in self._correct:
                figures[f"{name}_accuracy"] = float(self._correct[name]) / max(1, count)
        if MASKED_LM in self._counts:
            figures["perplexity"] = math.exp(min(figures[f"{MASKED_LM}_loss"], _LARGEST_EXPONENT))
        if self._seconds:
            figures["tokens_per_second"] = self._tokens / self._seconds
            figures["flops_per_second"] = self._flops / self._seconds
        self._clear()
        return figures
