"""Logits and metrics of a whole set of examples."""
# N examples, C outputs.

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bertkit.data.packing import pack, token_budget_batches
from bertkit.foundation.devices import autocast
from bertkit.foundation.precision import Precision
from bertkit.tasks.contract import Task
from bertkit.tasks.model import TaskModel
from bertkit.text.encoded_example import EncodedExample

LOSS = "loss"


def compute_logits(
    model: TaskModel, encoded: Sequence[EncodedExample], *, max_tokens: int, precision: Precision
) -> Tensor:
    """Logits (N, C) in float32, in the examples' order; like lengths go through the model together."""
    device = next(model.parameters()).device
    model.eval()
    order, parts = [], []
    with torch.no_grad(), autocast(precision, device):
        for batch in token_budget_batches([len(example) for example in encoded], max_tokens):
            order.append(torch.from_numpy(batch))
            parts.append(model(pack([encoded[index] for index in batch]).to(device)).float().cpu())
    logits = torch.cat(parts)
    return torch.empty_like(logits).index_copy_(0, torch.cat(order), logits)


def evaluate(
    model: TaskModel,
    task: Task,
    encoded: Sequence[EncodedExample],
    targets: Tensor,
    *,
    max_tokens: int,
    precision: Precision,
) -> dict[str, float]:
    """The task's metrics and the mean loss."""
    logits = compute_logits(model, encoded, max_tokens=max_tokens, precision=precision)
    return {**task.metrics(logits, targets), LOSS: float(task.loss(logits, targets)) / len(targets)}
