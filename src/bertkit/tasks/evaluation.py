"""Figures of logits that a model has given, and the range of each figure."""
# R rows of output, C outputs.

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from bertkit.tasks.contract import Task, TaskInstances

LOSS = "loss"


def measure(task: Task[Any], logits: Tensor, instances: TaskInstances[Any]) -> dict[str, float]:
    """The task's metrics of logits (R, C), and the mean loss."""
    assert instances.targets is not None
    loss = task.loss(logits, instances.targets, torch.from_numpy(instances.row_bounds))
    return {**task.scorer.scores(logits, instances), LOSS: float(loss) / max(1, task.count(instances.targets))}


_CORRELATIONS = ("matthews", "pearson", "spearman")


def metric_range(name: str) -> tuple[float, float]:
    """The lowest and the highest value of a metric by name, whatever set it is measured on."""
    if name.startswith(LOSS):
        return 0.0, math.inf
    return (-1.0, 1.0) if name.startswith(_CORRELATIONS) else (0.0, 1.0)
