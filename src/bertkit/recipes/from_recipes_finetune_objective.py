"""The task's loss as the training loop takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from bertkit.recipes.finetune_loader import TaskBatch
from bertkit.tasks.contract import Task
from bertkit.tasks.loss_shape import PLAIN, LossShape
from bertkit.tasks.model import TaskModel
from bertkit.training.flops import training_flops
from bertkit.training.objective import LossTerm


class FinetuneObjective:
    """Mean loss over what the task counts in a batch."""

    def __init__(self, module: TaskModel, task: Task[Any], shape: LossShape = PLAIN) -> None:
        self.module, self.task, self.shape = module, task, shape

    def counts(self, micro_batch: TaskBatch) -> Mapping[str, int]:
        """Terms of the loss."""
        return {self.task.kind: self.task.count(micro_batch.targets)}

    def tokens(self, micro_batch: TaskBatch) -> int:
        """T."""
        return micro_batch.inputs.num_tokens

    def flops(self, micro_batch: TaskBatch) -> float:
        """Operations of forward and backward, as if nothing were frozen."""
        config, inputs = self.module.bert.config, micro_batch.inputs
        reads_all = self.module.reads_tokens or config.classifier_pooling == "mean"
        return training_flops(config, inputs.cu_seqlens, last_rows=None if reads_all else inputs.num_sequences)

    def halves(self, micro_batch: TaskBatch) -> Sequence[TaskBatch]:
        """Not cut."""
        return [micro_batch]

    def terms(self, micro_batch: TaskBatch, model: nn.Module) -> Mapping[str, LossTerm]:
        """Loss and right answers of one micro-batch."""
        logits, targets, bounds = model(micro_batch.inputs), micro_batch.targets, micro_batch.bounds
        correct = self.task.correct(logits.detach(), targets, bounds)
        return {self.task.kind: LossTerm(self.task.loss(logits, targets, bounds, self.shape), correct)}
