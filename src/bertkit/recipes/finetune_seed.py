"""One seed of a fine-tuning run: its batches, its objective, and from its first step to its result."""
# B sequences.

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertkit.core.arrays import run_positions
from bertkit.core.batch import PackedBatch, pack
from bertkit.core.packing import token_budget_batches
from bertkit.core.randomness import derive_key, generator
from bertkit.core.records import read_record, write_record
from bertkit.inference.evaluation import evaluate, tune
from bertkit.model.size import training_flops
from bertkit.recipes.cards import finetuning_card
from bertkit.recipes.finetune_result import SeedResult
from bertkit.recipes.finetune_setup import FinetuneSetup, starting_model
from bertkit.tasks.contract import PLAIN, LossShape, Task, TaskInstances
from bertkit.tasks.model import TaskModel, save_task_model
from bertkit.training.layerwise import layerwise_schedules
from bertkit.training.loop import train
from bertkit.training.options import TrainingOptions
from bertkit.training.run_folder import RunFolder
from bertkit.training.step import LossTerm


@dataclass(frozen=True)
class TaskBatch:
    """The packed sequences of B instances with their targets; instance b owns output rows from `bounds[b]` on."""

    inputs: PackedBatch
    targets: Tensor
    bounds: Tensor
    """(B + 1,)"""

    def to(self, device: torch.device) -> TaskBatch:
        """Copy to a device."""
        return TaskBatch(self.inputs.to(device), self.targets.to(device), self.bounds.to(device))


class FinetuneLoader:
    """Every epoch is a new permutation of the instances; its last batch may be smaller."""

    def __init__(
        self,
        instances: TaskInstances[Any],
        *,
        batch_size: int,
        micro_batch_tokens: int,
        seed: int,
    ) -> None:
        assert instances.targets is not None
        self._instances, self._targets = instances, instances.targets
        self._tokens = np.diff(instances.token_bounds)  # (I,)
        self._batch_size, self._micro_batch_tokens, self._seed = batch_size, micro_batch_tokens, seed
        self.steps_per_epoch = math.ceil(len(instances) / batch_size)

    def batches(self, start: int, stop: int) -> Iterator[list[TaskBatch]]:
        """Micro-batches of the steps from `start` up to `stop`, longest instances first."""
        epoch, order = -1, None
        for step in range(start, stop):
            if order is None or epoch != step // self.steps_per_epoch:
                epoch = step // self.steps_per_epoch
                order = generator(derive_key(self._seed, "order", epoch)).permutation(len(self._instances))
            first = step % self.steps_per_epoch * self._batch_size
            chosen = order[first : first + self._batch_size]
            groups = token_budget_batches(self._tokens[chosen], self._micro_batch_tokens)
            yield [self._micro_batch(chosen[group]) for group in groups]

    def _micro_batch(self, chosen: NDArray[np.int64]) -> TaskBatch:
        instances = self._instances
        sequences = run_positions(instances.bounds[chosen], np.diff(instances.bounds)[chosen])
        row_counts = np.diff(instances.row_bounds)[chosen]
        targeted = run_positions(instances.row_bounds[chosen], row_counts) if instances.has_row_targets else chosen
        return TaskBatch(
            pack([instances.sequences[index] for index in sequences]),
            self._targets[torch.from_numpy(targeted)],
            torch.from_numpy(np.concatenate([[0], np.cumsum(row_counts)])),
        )


class FinetuneObjective:
    """Mean loss over what the task counts in a batch."""

    may_split = False  # it counts rows of outputs, and where an instance's sequences end is not in a batch

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

    def outputs(self, micro_batch: TaskBatch) -> Tensor:
        """Logits, a row for each output of the task."""
        logits: Tensor = self.module(micro_batch.inputs)
        return logits

    def terms(self, micro_batch: TaskBatch, outputs: Tensor) -> Mapping[str, LossTerm]:
        """Loss and right answers."""
        targets, bounds = micro_batch.targets, micro_batch.bounds
        correct = self.task.scorer.correct(outputs.detach(), targets, bounds)
        return {self.task.kind: LossTerm(self.task.loss(outputs, targets, bounds, self.shape), correct)}


def seed_result(run: RunFolder) -> SeedResult | None:
    """What a seed that is done has left in its folder."""
    if not run.result.is_file():
        return None
    return read_record(run.result, SeedResult, f"remove {run.path}, the seed is trained again")


def run_seed(setup: FinetuneSetup, seed: int, run: RunFolder) -> SeedResult:
    """Train, measure and write `run.model`, or resume where that was stopped; what only training needs is removed."""
    result = seed_result(run) or _train(setup, seed, run)
    run.discard_training_state()
    return result


def _train(setup: FinetuneSetup, seed: int, run: RunFolder) -> SeedResult:
    options = setup.options
    model = starting_model(setup.folder, setup.model_config, setup.task, options, seed).to(setup.device)
    setup.task.start(model.head, setup.train)
    loader = FinetuneLoader(
        setup.train,
        batch_size=options.batch_size,
        micro_batch_tokens=setup.micro_batch_tokens,
        seed=seed,
    )
    every = max(1, loader.steps_per_epoch // options.evaluations_per_epoch)
    training = TrainingOptions(
        steps=setup.epochs * loader.steps_per_epoch,
        optimizer=options.optimizer,
        seed=seed,
        precision=options.precision,
        log_every=options.log_every,
        evaluate_every=every,
        checkpoint_every=every,
        select_by=setup.select_by,
        patience=options.patience,
    )
    trained = train(
        FinetuneObjective(model, setup.task, setup.loss_shape.to(setup.device)),
        loader.batches,
        training,
        run,
        evaluate=lambda: _evaluate_dev(setup, model),
        schedules=layerwise_schedules(model, model.bert, decay=options.layer_decay, first_steps=setup.first_steps()),
        description=f"seed {seed}",
    )
    task = tune(model, setup.task, setup.dev, max_tokens=setup.micro_batch_tokens, precision=options.precision)
    test = None if setup.test is None else _evaluate(setup, model, task, setup.test)
    card = finetuning_card(
        options,
        training,
        task=setup.name,
        epochs=setup.epochs,
        initial_model=setup.folder.path,
        examples={name: len(part.examples) for name, part in setup.parts().items()},
        results={"dev": trained.best} | ({} if test is None else {"test": test}),
    )
    save_task_model(run.model, model, task, setup.tokenizer, card)
    result = SeedResult(
        seed=seed,
        dev=trained.best,
        test=test,
        seconds=trained.seconds,
        steps=trained.steps,
        failed=setup.dev_tells and trained.best[setup.select_by] <= setup.chance,
    )
    write_record(run.result, asdict(result))
    return result


def _evaluate_dev(setup: FinetuneSetup, model: TaskModel) -> Mapping[str, float]:
    """Figures on the dev set, and those on further ones with their name behind the figure's."""
    figures = dict(_evaluate(setup, model, setup.task, setup.dev))
    for name, part in setup.further_dev.items():
        further = _evaluate(setup, model, setup.task, part)
        figures |= {f"{figure}_{name}": value for figure, value in further.items()}
    return figures


def _evaluate(setup: FinetuneSetup, model: TaskModel, task: Task[Any], part: TaskInstances[Any]) -> Mapping[str, float]:
    return evaluate(model, task, part, max_tokens=setup.micro_batch_tokens, precision=setup.options.precision)
