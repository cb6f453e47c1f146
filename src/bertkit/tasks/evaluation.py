"""Logits and figures of a whole set."""
# S sequences, R rows of output, C outputs.

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertkit.core.arrays import run_positions, run_starts
from bertkit.core.batch import pack, token_budget_batches
from bertkit.core.devices import autocast
from bertkit.core.machine import Precision
from bertkit.tasks.contract import Task, TaskInstances
from bertkit.tasks.model import TaskModel
from bertkit.text.sequences import EncodedExample

LOSS = "loss"


def compute_logits(
    model: TaskModel, sequences: Sequence[EncodedExample], *, max_tokens: int, precision: Precision
) -> Tensor:
    """Logits (R, C) in float32, in the sequences' order; like lengths go through the model together."""
    device = next(model.parameters()).device
    model.eval()
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    batches = token_budget_batches(lengths, max_tokens)
    with torch.no_grad(), autocast(precision, device):
        parts = [model(pack([sequences[index] for index in batch]).to(device)).float().cpu() for batch in batches]
    return in_order(batches, parts, lengths if model.reads_tokens else np.ones_like(lengths))


def in_order(batches: Sequence[NDArray[np.int64]], parts: Sequence[Tensor], rows: NDArray[np.int64]) -> Tensor:
    """The outputs of batches of sequences as (R, C) in the sequences' order; `rows` (S,) says how many each has."""
    starts = run_starts(rows)
    places = np.concatenate([run_positions(starts[batch], rows[batch]) for batch in batches])
    logits = torch.cat(list(parts))
    return torch.empty_like(logits).index_copy_(0, torch.from_numpy(places), logits)


def evaluate(
    model: TaskModel, task: Task[Any], instances: TaskInstances[Any], *, max_tokens: int, precision: Precision
) -> dict[str, float]:
    """The task's metrics and the mean loss."""
    logits = compute_logits(model, instances.sequences, max_tokens=max_tokens, precision=precision)
    return measure(task, logits, instances)


def measure(task: Task[Any], logits: Tensor, instances: TaskInstances[Any]) -> dict[str, float]:
    """The same of logits (R, C) that are there."""
    assert instances.targets is not None
    loss = task.loss(logits, instances.targets, torch.from_numpy(instances.row_bounds))
    return {**task.scorer.scores(logits, instances), LOSS: float(loss) / max(1, task.count(instances.targets))}


def tune(
    model: TaskModel, task: Task[Any], dev: TaskInstances[Any], *, max_tokens: int, precision: Precision
) -> Task[Any]:
    """The task with what it chooses on dev examples."""
    if not task.is_tunable:
        return task
    logits = compute_logits(model, dev.sequences, max_tokens=max_tokens, precision=precision)
    return task.tuned(logits, dev)


_CORRELATIONS = ("matthews", "pearson", "spearman")


def metric_range(name: str) -> tuple[float, float]:
    """The lowest and the highest value of a metric by name, whatever set it is measured on."""
    if name.startswith(LOSS):
        return 0.0, math.inf
    return (-1.0, 1.0) if name.startswith(_CORRELATIONS) else (0.0, 1.0)
