"""What the demo found."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sklearn.metrics import confusion_matrix

from bertkit.studies.demo_corpus import CorpusFacts
from bertkit.studies.demo_options import DemoOptions
from bertkit.studies.learning_curve import CurvePoint, CurveSummary, summarise

PRETRAINED, RANDOM = "pre-trained BERT", "same network, random weights"
TFIDF, LARGEST_CLASS = "TF-IDF and logistic regression", "largest class"


@dataclass(frozen=True, kw_only=True)
class FilledMask:
    """A sentence with one [MASK] and the likeliest entries with their probabilities."""

    text: str
    fillings: Sequence[tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """All figures of a run."""

    out: Path
    options: DemoOptions
    machine: str
    stage_seconds: Mapping[str, float]
    corpus: CorpusFacts
    vocab_size: int
    tokens: int
    """Of the pre-training text."""
    metrics: Sequence[Mapping[str, Any]]
    """Lines of pre-training's `metrics.jsonl`."""
    filled_masks: Sequence[FilledMask]
    points: Sequence[CurvePoint]
    test_labels: tuple[str, ...]
    finetuned_model: Path
    pretrained_model: Path

    @property
    def packages(self) -> tuple[str, ...]:
        """The classes."""
        return tuple(self.corpus.train)

    @property
    def summary(self) -> list[CurveSummary]:
        """Means over the seeds."""
        return summarise(self.points)

    @property
    def held_out(self) -> Mapping[str, float]:
        """The last evaluation of pre-training."""
        last = [line for line in self.metrics if line["kind"] == "evaluation"][-1]
        return {name.removeprefix("held_out/"): value for name, value in last.items() if name.startswith("held_out/")}

    def of(self, method: str, size: str) -> CurveSummary:
        """One row of the summary."""
        return next(row for row in self.summary if (row.method, row.size) == (method, size))

    def gains(self) -> dict[str, tuple[float, float]]:
        """By size, mean and deviation of pre-trained minus random accuracy over the seeds, on the same samples."""
        accuracies = {(point.method, point.size, point.seed): point.accuracy for point in self.points}
        gains: dict[str, list[float]] = {}
        for (method, size, seed), accuracy in accuracies.items():
            if method == PRETRAINED:
                gains.setdefault(size, []).append(accuracy - accuracies[RANDOM, size, seed])
        return {
            size: (statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else 0.0)
            for size, found in gains.items()
        }

    def confusion(self) -> list[list[int]]:
        """Counts by true and predicted package, of the model that was kept: the last one with the most labels."""
        kept = [point for point in self.points if point.method == PRETRAINED][-1]
        counts: list[list[int]] = confusion_matrix(self.test_labels, kept.predictions, labels=self.packages).tolist()
        return counts

    def to_json(self) -> dict[str, Any]:
        """What `results.json` holds."""
        return {
            "meaningful": self.options.is_meaningful,
            "machine": self.machine,
            "stage_seconds": self.stage_seconds,
            "corpus": asdict(self.corpus),
            "vocab_size": self.vocab_size,
            "pretraining_tokens": self.tokens,
            "held_out": self.held_out,
            "filled_masks": [asdict(mask) for mask in self.filled_masks],
            "learning_curve": [asdict(row) for row in self.summary],
            "gain_over_random": {size: {"mean": m, "deviation": d} for size, (m, d) in self.gains().items()},
            "points": [{k: v for k, v in asdict(point).items() if k != "predictions"} for point in self.points],
            "confusion": {"packages": self.packages, "counts": self.confusion()},
        }
