"""Logits and figures of a module that carries out a task, also of one that is still in training."""
# S sequences, R rows of output, C outputs.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bertkit.core.devices import autocast
from bertkit.core.machine import Precision
from bertkit.inference.backends.base import TASK, HeadLogits
from bertkit.inference.backends.torch_packed import TorchPacked
from bertkit.inference.engine import Engine
from bertkit.tasks.contract import Task, TaskInstances
from bertkit.tasks.evaluation import measure
from bertkit.tasks.model import TaskModel
from bertkit.text.sequences import EncodedExample


def compute_logits(
    model: TaskModel, sequences: Sequence[EncodedExample], *, max_tokens: int, precision: Precision
) -> Tensor:
    """Logits (R, C) in float32, in the sequences' order; the model is left in evaluation mode.

    Its weights keep their precision: with "bf16" matrix products are computed under autocast, as in training.
    """
    engine = Engine(TorchPacked(model), max_tokens=max_tokens, streams=1)
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    counts = lengths if model.reads_tokens else np.ones_like(lengths)
    with autocast(precision, torch.device(engine.backend.device)):
        return torch.from_numpy(engine.rows(sequences, HeadLogits(TASK), counts))


def evaluate(
    model: TaskModel, task: Task[Any], instances: TaskInstances[Any], *, max_tokens: int, precision: Precision
) -> dict[str, float]:
    """The task's metrics and the mean loss."""
    logits = compute_logits(model, instances.sequences, max_tokens=max_tokens, precision=precision)
    return measure(task, logits, instances)


def tune(
    model: TaskModel, task: Task[Any], dev: TaskInstances[Any], *, max_tokens: int, precision: Precision
) -> Task[Any]:
    """The task with what it chooses on dev examples, such as a threshold."""
    if not task.is_tunable:
        return task
    logits = compute_logits(model, dev.sequences, max_tokens=max_tokens, precision=precision)
    return task.tuned(logits, dev)
