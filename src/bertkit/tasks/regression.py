"""A number for a text or a pair of texts."""
# N examples.

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import InputError
from bertkit.core.lazy import lazy_module
from bertkit.pretrained.config_json import REGRESSION
from bertkit.tasks.classification import TextTask
from bertkit.tasks.contract import PLAIN, LossShape, Scorer, TaskInstances
from bertkit.tasks.labelled import LabelledExamples
from bertkit.tasks.metrics import REGRESSION_METRICS, correlation_by_chance
from bertkit.tasks.predictions import Prediction, ScorePrediction

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


@dataclass(frozen=True, kw_only=True)
class Regression(TextTask):
    """Squared error of one output."""

    kind = "regression"
    problem_type = REGRESSION
    known_metrics = tuple(REGRESSION_METRICS)

    metric_names: tuple[str, ...] = ("pearson", "spearman")

    @property
    def summary(self) -> str:
        """A score."""
        return "a score"

    def targets(self, labels: Sequence[object], place: Callable[[int], str]) -> Tensor:
        """Scores, float32 (N,)."""
        return torch.tensor([_score(label, place(index)) for index, label in enumerate(labels)], dtype=torch.float32)

    def loss(self, logits: Tensor, targets: Tensor, bounds: Tensor, shape: LossShape = PLAIN) -> Tensor:
        """Squared error, summed."""
        return torch.nn.functional.mse_loss(logits.float().squeeze(-1), targets, reduction="sum")

    def decode(self, logits: NDArray[np.float32], instances: TaskInstances[LabelledExamples]) -> list[Prediction]:
        """The outputs as they are."""
        return [ScorePrediction(score) for score in logits[:, 0].tolist()]

    @property
    def scorer(self) -> Scorer[Regression]:
        """By correlations with the labels."""
        return _ScoreScorer(self)


class _ScoreScorer(Scorer[Regression]):
    def figures(self, logits: Tensor, instances: TaskInstances[Any]) -> dict[str, float]:
        assert instances.targets is not None
        predictions, labels = logits.double().squeeze(-1).numpy(), instances.targets.double().numpy()
        return {name: REGRESSION_METRICS[name](predictions, labels) for name in self.task.metric_names}

    def correct(self, logits: Tensor, targets: Tensor, bounds: Tensor) -> None:
        return

    def chance(self, instances: TaskInstances[Any]) -> dict[str, float]:
        """Of numbers that have nothing to do with the labels."""
        return dict.fromkeys(self.task.metric_names, correlation_by_chance(len(instances)))

    def right(self, instances: TaskInstances[Any]) -> Tensor:
        """The labels themselves; constant ones correlate with nothing."""
        assert instances.targets is not None
        return instances.targets.unsqueeze(-1)


def _score(label: object, place: str) -> float:
    try:
        score = float(label)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"{place}: label {label!r} is no finite number: mend or remove the row")
    return score
