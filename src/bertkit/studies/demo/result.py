"""The demo's options in two sizes, and its results."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sklearn.metrics import confusion_matrix

from bertkit.data.instances.options import InstanceOptions, MaskingOptions
from bertkit.model.config import BertConfig
from bertkit.recipes.options import PretrainOptions
from bertkit.studies.baselines import FewLabelOptions
from bertkit.studies.demo.corpus import CorpusFacts, PackageTaskOptions
from bertkit.studies.learning_curve import CurvePoint, CurveSize, CurveSummary, summarise
from bertkit.training.options import OptimizerOptions, TrainingOptions


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Everything that decides the demo's results."""

    pretraining: PretrainOptions
    sizes: tuple[CurveSize, ...]
    task: PackageTaskOptions = field(default_factory=PackageTaskOptions)
    finetuning: FewLabelOptions = field(default_factory=FewLabelOptions)
    vocab_size: int = 4000
    max_length: int = 64
    """Most tokens of a sentence."""
    library: Path | None = None
    """Folder of the modules whose documentation is read; by default this Python's."""
    is_meaningful: bool = True
    """Whether the scores say anything about the methods: not after a quick run."""


FULL = DemoOptions(
    pretraining=PretrainOptions(
        model=BertConfig(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
            max_position_embeddings=128,
            initializer_range=0.05,
        ),
        training=TrainingOptions(
            steps=2400,
            optimizer=OptimizerOptions(learning_rate=1e-3, warmup_share=0.06, beta2=0.98, bias_correction=True),
            log_every=100,
            evaluate_every=300,
            checkpoint_every=300,
        ),
        instances=InstanceOptions(seq_length=64),
        masking=MaskingOptions(select_rate=0.3),
        batch_size=16,
        next_sentence_weight=0.1,
        initial_weights="informed",
        held_out_share=0.04,
    ),
    sizes=(
        CurveSize(per_class=5, seeds=3),
        CurveSize(per_class=20, seeds=3),
        CurveSize(per_class=80, seeds=3),
        CurveSize(per_class=None, seeds=2),
    ),
)

QUICK = DemoOptions(
    pretraining=PretrainOptions(
        model=BertConfig(
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=256,
            max_position_embeddings=128,
            initializer_range=0.05,
        ),
        training=TrainingOptions(
            steps=60,
            optimizer=OptimizerOptions(learning_rate=2e-3, warmup_share=0.06, beta2=0.98, bias_correction=True),
            log_every=10,
            evaluate_every=20,
            checkpoint_every=20,
        ),
        instances=InstanceOptions(seq_length=64),
        masking=MaskingOptions(select_rate=0.3),
        batch_size=32,
        initial_weights="informed",
        held_out_share=0.04,
        evaluation_sequences=128,
    ),
    sizes=(CurveSize(per_class=5, seeds=2), CurveSize(per_class=20, seeds=2)),
    finetuning=FewLabelOptions(epochs=2, min_steps=20),
    vocab_size=2000,
    is_meaningful=False,
)

PRETRAINED, RANDOM = "pre-trained BERT", "same network, random weights"
TFIDF, LARGEST_CLASS = "TF-IDF and logistic regression", "largest class"
METHODS = (PRETRAINED, RANDOM, TFIDF, LARGEST_CLASS)
"""Names of the methods that are compared."""


@dataclass(frozen=True, kw_only=True)
class FilledMask:
    """A sentence with one [MASK], and the most probable tokens for it with their probabilities."""

    text: str
    fillings: Sequence[tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """Everything that a run of the demo found."""

    out: Path
    options: DemoOptions
    machine: str
    step_seconds: Mapping[str, float]
    corpus: CorpusFacts
    vocab_size: int
    tokens: int
    """Number of tokens of the pre-training text."""
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
        """Means over the seeds, a row for each method and size."""
        return summarise(self.points)

    @property
    def held_out(self) -> Mapping[str, float]:
        """The last evaluation on held-out text during pre-training."""
        last = [line for line in self.metrics if line["kind"] == "evaluation"][-1]
        return {name.removeprefix("held_out/"): value for name, value in last.items() if name.startswith("held_out/")}

    def of(self, method: str, size: str) -> CurveSummary:
        """One row of the summary."""
        return next(row for row in self.summary if (row.method, row.size) == (method, size))

    def gains(self) -> dict[str, tuple[float, float]]:
        """The accuracy that pre-training adds on the same samples: mean and standard deviation by size."""
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
        """Counts by true and predicted package, for the model that was kept: the last one with the most labels."""
        kept = [point for point in self.points if point.method == PRETRAINED][-1]
        counts: list[list[int]] = confusion_matrix(self.test_labels, kept.predictions, labels=self.packages).tolist()
        return counts

    def to_json(self) -> dict[str, Any]:
        """The content of `results.json`."""
        return {
            "meaningful": self.options.is_meaningful,
            "machine": self.machine,
            "stage_seconds": self.step_seconds,
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
