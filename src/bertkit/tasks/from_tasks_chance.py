"""What a model gets that has learnt nothing from the texts, and what one gets that is always right."""
# N examples, R rows of output, C outputs.

from __future__ import annotations

import math

import torch
from scipy import stats

from bertkit.tasks.contract import Task
from bertkit.tasks.instances import ExamplesT, TaskInstances

_CONFIDENCE = 0.975


def best_constant(task: Task[ExamplesT], instances: TaskInstances[ExamplesT], outputs: int) -> dict[str, float]:
    """The highest of each figure over always choosing one of C `outputs`, as the majority class for accuracy."""
    rows = int(instances.row_bounds[-1])
    figures = [task.metrics(one_hot.expand(rows, outputs), instances) for one_hot in torch.eye(outputs)]
    return {name: max(figure[name] for figure in figures) for name in task.metric_names}


def all_right(task: Task[ExamplesT], instances: TaskInstances[ExamplesT], outputs: int) -> dict[str, float]:
    """The figures where the right one of C `outputs` is chosen in every row that has one."""
    assert instances.targets is not None
    return task.metrics(torch.eye(outputs)[instances.targets.clamp(min=0)], instances)


def correlation_by_chance(count: int) -> float:
    """The correlation of N independent pairs that one in forty is above, by Student's t; 1 where N says nothing."""
    if count < 3:
        return 1.0
    quantile = float(stats.t.ppf(_CONFIDENCE, count - 2))
    return quantile / math.sqrt(count - 2 + quantile**2)
