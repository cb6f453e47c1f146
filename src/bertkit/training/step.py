"""Sums over the steps since the last log line."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping

from torch import Tensor

from bertkit.foundation.process_group import ProcessGroup
from bertkit.training.objective import LossTerm, MicroBatchT, Objective
from bertkit.training.pretraining_objective import MASKED_LM

_LARGEST_EXPONENT = 700.0
"""Beyond it a float64 overflows."""


class StepFigures:
    """Collects losses, right answers, tokens and time; tensors are read only when `take` is called.

    `matrix_peak`, in operations/s of all processes, is what the model's own are held against.
    """

    def __init__(self, matrix_peak: float | None = None) -> None:
        self._matrix_peak = matrix_peak
        self._since = time.perf_counter()
        self._clear()

    def _clear(self) -> None:
        self._totals: dict[str, Tensor] = {}
        self._correct: dict[str, Tensor] = {}
        self._counts: dict[str, int] = defaultdict(int)
        self._tokens, self._flops, self._seconds, self._steps = 0, 0.0, 0.0, 0

    def add(self, objective: Objective[MicroBatchT], micro_batch: MicroBatchT, terms: Mapping[str, LossTerm]) -> None:
        """Add what came out of a micro-batch."""
        counts = objective.counts(micro_batch)
        for name, term in terms.items():
            self._totals[name] = self._totals[name] + term.total if name in self._totals else term.total
            if term.correct is not None:
                self._correct[name] = self._correct[name] + term.correct if name in self._correct else term.correct
            self._counts[name] += counts[name]
        self._tokens += objective.tokens(micro_batch)
        self._flops += objective.flops(micro_batch)

    def start_clock(self) -> None:
        """Count time from here on."""
        self._since = time.perf_counter()

    def stop_clock(self, steps: int, last: Tensor) -> float:
        """Add `steps` and the time since the clock was started, once the device has computed `last`; return it."""
        last.item()
        seconds = time.perf_counter() - self._since
        self._seconds, self._steps = self._seconds + seconds, self._steps + steps
        return seconds

    def take(self, group: ProcessGroup) -> dict[str, float]:
        """`X_loss` and `X_accuracy` of every term, the masked LM's perplexity, and rates; then start over.

        All over the processes of `group`, but for the time, which is this one's.
        """
        figures = {}
        totals = group.sum({name: float(total) for name, total in self._totals.items()})
        correct = group.sum({name: float(right) for name, right in self._correct.items()})
        work = group.sum({"tokens": self._tokens, "flops": self._flops})
        for name, count in group.sum(self._counts).items():
            figures[f"{name}_loss"] = totals[name] / max(1, count)
            if name in correct:
                figures[f"{name}_accuracy"] = correct[name] / max(1, count)
        if MASKED_LM in totals:
            figures["perplexity"] = math.exp(min(figures[f"{MASKED_LM}_loss"], _LARGEST_EXPONENT))
        if self._steps:
            figures["seconds_per_step"] = self._seconds / self._steps
            figures["tokens_per_second"] = work["tokens"] / self._seconds
            figures["flops_per_second"] = work["flops"] / self._seconds
            if self._matrix_peak is not None:
                figures["share_of_matrix_peak"] = figures["flops_per_second"] / self._matrix_peak
        self._clear()
        return figures
