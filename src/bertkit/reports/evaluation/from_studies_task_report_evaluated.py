"""A fine-tuned model on labelled examples."""
# N examples, R rows of output, C outputs.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from bertkit.foundation.precision import Precision
from bertkit.tasks.contract import Task
from bertkit.tasks.evaluation import compute_logits, measure
from bertkit.tasks.instances import TaskInstances
from bertkit.tasks.model import TaskModel
from bertkit.tasks.prediction import Prediction


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """What the model says of the examples, and its figures over all."""

    task: Task[Any]
    instances: TaskInstances[Any]
    logits: Tensor
    """(R, C)"""

    @classmethod
    def of(
        cls,
        model: TaskModel,
        task: Task[Any],
        instances: TaskInstances[Any],
        *,
        max_tokens: int,
        precision: Precision,
    ) -> Evaluated:
        """Run the model over all sequences once."""
        logits = compute_logits(model, instances.sequences, max_tokens=max_tokens, precision=precision)
        return cls(task=task, instances=instances, logits=logits)

    @cached_property
    def figures(self) -> Mapping[str, float]:
        """The task's metrics and the mean loss."""
        return measure(self.task, self.logits, self.instances)

    @cached_property
    def predictions(self) -> Sequence[Prediction]:
        """What is said of each example (N,)."""
        return self.task.decode(self.logits, self.instances)

    @property
    def targets(self) -> Tensor:
        """The instances' labels."""
        assert self.instances.targets is not None
        return self.instances.targets
