"""What a step of a run costs on this machine."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

import torch

from bertkit.data.pretraining_batch import PretrainingBatch
from bertkit.foundation.device_memory import full_memory_named, peak_memory
from bertkit.recipes.pretrain_setup import PretrainSetup
from bertkit.training.gradients import StepSums, accumulate_gradients
from bertkit.training.halving import halve_until_it_fits
from bertkit.training.optimizers import new_optimizer
from bertkit.training.replicas import Replicas
from bertkit.training.step_figures import StepFigures

_LEAST_PASSES = 2


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Measured, without the exchange between processes."""

    tokens_per_second: float
    """Forward and backward."""
    update_seconds: float
    """Of the optimiser, once a step."""
    tokens_per_sequence: float
    memory: int
    """Bytes that this process has held at the most, on a CUDA device of its memory."""

    def seconds(self, batch_size: int) -> float:
        """Of a step."""
        return batch_size * self.tokens_per_sequence / self.tokens_per_second + self.update_seconds


def measure_step(setup: PretrainSetup, seconds: float = 3.0) -> StepCost:
    """Run micro-batches of the first steps for some `seconds`; weights stay as they are.

    Micro-batches that memory does not hold are halved, as in training.
    """
    with full_memory_named(setup.group.device):
        return _measure(setup, seconds)


def _measure(setup: PretrainSetup, seconds: float) -> StepCost:
    module, training, device = setup.objective.module, setup.options.training, setup.group.device
    replicas, optimizer = Replicas(module), new_optimizer(module.named_parameters(), training.optimizer)
    module.train()
    halvings = tokens = sequences = passes = 0

    def attempt(parts: list[PretrainingBatch]) -> StepSums:
        return accumulate_gradients(setup.objective, parts, training, StepFigures(), replicas)

    with closing(setup.loader.batches(0)) as steps:
        micro_batches = (micro_batch for step in steps for micro_batch in step)
        # Kernels are made for the first.
        _, halvings = halve_until_it_fits(setup.objective, [next(micro_batches)], halvings, setup.group, attempt)
        start = _now(device)
        while passes < _LEAST_PASSES or _now(device) - start < seconds:
            micro_batch = next(micro_batches)
            _, halvings = halve_until_it_fits(setup.objective, [micro_batch], halvings, setup.group, attempt)
            tokens += micro_batch.inputs.num_tokens
            sequences += micro_batch.inputs.num_sequences
            passes += 1
        spent = _now(device) - start
    start = _now(device)
    optimizer.step(0.0)
    return StepCost(
        tokens_per_second=tokens / spent,
        update_seconds=_now(device) - start,
        tokens_per_sequence=tokens / sequences,
        memory=peak_memory(device),
    )


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
