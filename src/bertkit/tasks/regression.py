"""A number for a text or a pair of texts."""
# B sequences.

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertkit.core.errors import InputError
from bertkit.model.config import BertConfig
from bertkit.model.heads import ClassificationHead
from bertkit.pretrained.config_json import REGRESSION
from bertkit.tasks.classification import TextTask
from bertkit.tasks.contract import PLAIN, LossShape, TaskInstances
from bertkit.tasks.labelled import LabelledExamples
from bertkit.tasks.metrics import REGRESSION_METRICS, correlation_by_chance
from bertkit.tasks.options import Columns, TaskOptions
from bertkit.tasks.predictions import Prediction, ScorePrediction


@dataclass(frozen=True, kw_only=True)
class Regression(TextTask):
    """Squared error of one output."""

    kind = "regression"
    problem_type = REGRESSION
    known_metrics = tuple(REGRESSION_METRICS)

    metric_names: tuple[str, ...] = ("pearson", "spearman")

    @classmethod
    def define(
        cls,
        train: LabelledExamples,
        options: TaskOptions,
        *,
        max_length: int,
        metric_names: tuple[str, ...] | None,
        columns: Columns,
        benchmark: str | None,
    ) -> Self:
        """Nothing depends on the training labels."""
        names = metric_names or cls.metric_names
        return cls(max_length=max_length, metric_names=names, columns=columns, benchmark=benchmark)

    @property
    def labels(self) -> None:
        """A number has no names."""
        return

    @property
    def summary(self) -> str:
        """A score."""
        return "a score"

    def head(self, config: BertConfig) -> nn.Module:
        """Dropout and a linear layer."""
        return ClassificationHead(config, 1)

    def targets(self, labels: Sequence[object], place: Callable[[int], str]) -> Tensor:
        """Scores, float32 (B,)."""
        return torch.tensor([_score(label, place(index)) for index, label in enumerate(labels)], dtype=torch.float32)

    def loss(self, logits: Tensor, targets: Tensor, bounds: Tensor, shape: LossShape = PLAIN) -> Tensor:
        """Squared error, summed."""
        return F.mse_loss(logits.float().squeeze(-1), targets, reduction="sum")

    def correct(self, logits: Tensor, targets: Tensor, bounds: Tensor) -> None:
        """A number is not right or wrong."""
        return

    def decode(self, logits: Tensor, instances: TaskInstances[LabelledExamples]) -> list[Prediction]:
        """The outputs as they are."""
        return [ScorePrediction(score) for score in logits.float().squeeze(-1).tolist()]

    def metrics(self, logits: Tensor, instances: TaskInstances[LabelledExamples]) -> dict[str, float]:
        """Correlations with the labels."""
        assert instances.targets is not None
        predictions, labels = logits.double().squeeze(-1).numpy(), instances.targets.double().numpy()
        return {name: REGRESSION_METRICS[name](predictions, labels) for name in self.metric_names}

    def chance(self, instances: TaskInstances[LabelledExamples]) -> dict[str, float]:
        """Of numbers that have nothing to do with the labels."""
        return dict.fromkeys(self.metric_names, correlation_by_chance(len(instances)))

    def perfect(self, instances: TaskInstances[LabelledExamples]) -> dict[str, float]:
        """Of the labels themselves; constant ones correlate with nothing."""
        assert instances.targets is not None
        return self.metrics(instances.targets.unsqueeze(-1), instances)


def _score(label: object, place: str) -> float:
    try:
        score = float(label)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"{place}: label {label!r} is no finite number: mend or remove the row")
    return score
