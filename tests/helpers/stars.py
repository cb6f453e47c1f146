"""A whole number of stars for a text: 4 for 5 is a smaller error than 1 for 5."""
# N examples.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bertkit.core.errors import InputError
from bertkit.pretrained.config_json import REGRESSION
from bertkit.tasks.classification import TextTask
from bertkit.tasks.contract import PLAIN, LossShape, Scorer, TaskInstances
from bertkit.tasks.predictions import Prediction, ScorePrediction


@dataclass(frozen=True, kw_only=True)
class Stars(TextTask):
    """Absolute error of one output, which is rounded when it is predicted."""

    kind = "stars"
    problem_type = REGRESSION
    known_metrics = ("accuracy", "within_one")

    metric_names: tuple[str, ...] = known_metrics

    def targets(self, labels: Sequence[object], place: Callable[[int], str]) -> Tensor:
        """Whole numbers, float32 (N,)."""
        for index, label in enumerate(labels):
            if not str(label).isdecimal():
                raise InputError(f"{place(index)}: label {label!r} is no whole number: mend the row")
        return torch.tensor([float(str(label)) for label in labels])

    def loss(self, logits: Tensor, targets: Tensor, bounds: Tensor, shape: LossShape = PLAIN) -> Tensor:
        """Absolute error, summed."""
        return F.l1_loss(logits.float().squeeze(-1), targets, reduction="sum")

    def decode(self, logits: NDArray[np.float32], instances: TaskInstances[Any]) -> list[Prediction]:
        """The nearest whole number."""
        return [ScorePrediction(stars) for stars in logits[:, 0].round().tolist()]

    @property
    def scorer(self) -> Scorer[Stars]:
        """By exact and by nearly right numbers."""
        return _StarsScorer(self)


class _StarsScorer(Scorer[Stars]):
    def figures(self, logits: Tensor, instances: TaskInstances[Any]) -> dict[str, float]:
        assert instances.targets is not None
        errors = (logits.squeeze(-1).round() - instances.targets).abs()
        return {"accuracy": float((errors == 0).float().mean()), "within_one": float((errors <= 1).float().mean())}

    def correct(self, logits: Tensor, targets: Tensor, bounds: Tensor) -> Tensor:
        return (logits.squeeze(-1).round() == targets).sum()

    def constants(self, instances: TaskInstances[Any]) -> list[Tensor]:
        """Every number that occurs, for all texts."""
        assert instances.targets is not None
        return [torch.full((len(instances), 1), stars) for stars in set(instances.targets.tolist())]

    def right(self, instances: TaskInstances[Any]) -> Tensor:
        assert instances.targets is not None
        return instances.targets.unsqueeze(-1)
