"""A number for a text or a pair of texts."""
# B sequences.

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertkit.foundation.errors import InputError
from bertkit.model.config import BertConfig
from bertkit.model.heads import ClassificationHead
from bertkit.tasks.contract import Task
from bertkit.tasks.metrics import REGRESSION_METRICS
from bertkit.tasks.prediction import Prediction, ScorePrediction


@dataclass(frozen=True, kw_only=True)
class Regression(Task):
    """Squared error of one output."""

    kind = "regression"
    architecture = "BertForSequenceClassification"
    known_metrics = tuple(REGRESSION_METRICS)

    metric_names: tuple[str, ...] = ("pearson", "spearman")

    @property
    def num_outputs(self) -> int:
        """1."""
        return 1

    @property
    def labels(self) -> None:
        """A number has no names."""
        return None

    def head(self, config: BertConfig) -> nn.Module:
        """Dropout and a linear layer."""
        return ClassificationHead(config, 1)

    def targets(self, labels: Sequence[object], place: Callable[[int], str]) -> Tensor:
        """Scores, float32 (B,)."""
        return torch.tensor([_score(label, place(index)) for index, label in enumerate(labels)], dtype=torch.float32)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Squared error, summed."""
        return F.mse_loss(logits.float().squeeze(-1), targets, reduction="sum")

    def correct(self, logits: Tensor, targets: Tensor) -> None:
        """A number is not right or wrong."""
        return

    def decode(self, logits: Tensor) -> list[Prediction]:
        """The outputs as they are."""
        return [ScorePrediction(score) for score in logits.float().squeeze(-1).tolist()]

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, float]:
        """Correlations with the labels."""
        predictions, labels = logits.double().squeeze(-1).numpy(), targets.double().numpy()
        return {name: REGRESSION_METRICS[name](predictions, labels) for name in self.metric_names}


def _score(label: object, place: str) -> float:
    try:
        score = float(label)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"{place}: label {label!r} is no finite number: mend or remove the row")
    return score
