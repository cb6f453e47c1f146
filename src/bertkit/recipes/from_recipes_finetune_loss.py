"""What a person asked of the loss, if the task can have it."""

from __future__ import annotations

from typing import Any

from bertkit.foundation.errors import InputError
from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.tasks.class_weights import class_weights
from bertkit.tasks.contract import Task
from bertkit.tasks.instances import TaskInstances
from bertkit.tasks.loss_shape import LossShape


def loss_shape(task: Task[Any], train: TaskInstances[Any], options: FinetuneOptions) -> LossShape:
    """Label smoothing and class weights; raise `InputError` where they have no meaning."""
    if options.label_smoothing and not task.smooths_labels:
        raise InputError(
            f"label_smoothing has no meaning for {task.kind}: leave it out; "
            f"classification, multiple-choice and tagging have it"
        )
    if not options.class_weights:
        return LossShape(label_smoothing=options.label_smoothing)
    if task.labels is None:
        raise InputError(
            f"class_weights have no meaning for {task.kind}: leave them out; classification and tagging have them"
        )
    assert train.targets is not None
    weights = class_weights(options.class_weights, task.labels, train.targets)
    return LossShape(label_smoothing=options.label_smoothing, class_weights=weights)
