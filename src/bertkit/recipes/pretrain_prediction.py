"""What a run will take and give, foretold from some of its own steps."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bertkit.data.pretraining_batch import PretrainingBatch
from bertkit.foundation.devices import tune_allocator
from bertkit.foundation.durations import format_duration
from bertkit.foundation.process_group import ProcessGroup
from bertkit.recipes.pretrain_options import PretrainOptions
from bertkit.recipes.pretrain_setup import PretrainSetup
from bertkit.training.gradients import accumulate_gradients
from bertkit.training.optimizers import new_optimizer
from bertkit.training.replicas import Replicas
from bertkit.training.step_figures import StepFigures

_MEASURED_SECONDS = 3.0
_LEAST_PASSES = 2
_BYTES_A_PARAMETER = 16
"""Weight, gradient and two moments in float32."""


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """What was measured on this machine."""

    tokens_per_second: float
    """Forward and backward."""
    update_seconds: float
    """Of the optimiser, once a step."""
    tokens_per_sequence: float

    def seconds(self, batch_size: int) -> float:
        """Of a step."""
        return batch_size * self.tokens_per_sequence / self.tokens_per_second + self.update_seconds


def measure_step(setup: PretrainSetup) -> StepCost:
    """Run micro-batches of the first steps for some seconds; weights stay as they are."""
    module, options = setup.objective.module, setup.options
    replicas, optimizer = Replicas(module), new_optimizer(module.named_parameters(), options.training.optimizer)
    module.train()

    def run(micro_batches: Sequence[PretrainingBatch]) -> int:
        return accumulate_gradients(setup.objective, micro_batches, options.training, StepFigures(), replicas).tokens

    first = setup.loader.batch(0)
    run(first[:1])  # kernels are made for the first
    micro_batches = (micro_batch for step in setup.loader.batches(0) for micro_batch in step)
    tokens = sequences = passes = 0
    _synchronize(setup.group.device)
    start = time.perf_counter()
    while passes < _LEAST_PASSES or time.perf_counter() - start < _MEASURED_SECONDS:
        micro_batch = next(micro_batches)
        tokens += run([micro_batch])
        sequences += micro_batch.inputs.num_sequences
        passes += 1
        _synchronize(setup.group.device)
    seconds = time.perf_counter() - start
    micro_batches.close()
    start = time.perf_counter()
    optimizer.step(0.0)
    _synchronize(setup.group.device)
    return StepCost(
        tokens_per_second=tokens / seconds,
        update_seconds=time.perf_counter() - start,
        tokens_per_sequence=tokens / sequences,
    )


def describe_plan(data: Path, options: PretrainOptions) -> str:
    """Say what a run would be: model, corpus, epochs, memory, and the time or the steps that a few passes foretell."""
    tune_allocator()
    setup = PretrainSetup.of(data, options, ProcessGroup())
    cost = measure_step(setup)
    seconds = cost.seconds(options.batch_size)
    training = setup.options.training
    if training.steps is not None:
        foretold = f"{format_duration(seconds * training.steps)} for {training.steps:,} steps"
    else:
        assert training.budget_seconds is not None
        foretold = f"{training.budget_seconds / seconds:,.0f} steps in {format_duration(training.budget_seconds)}"
    return (
        f"{setup.describe()}\n"
        f"{_BYTES_A_PARAMETER * setup.parameters / 2**20:,.0f} MiB for weights, gradients and moments, "
        f"{peak_memory(setup.group.device) / 2**20:,.0f} MiB in all at the most here\n"
        f"{seconds:.2f} s a step here ({cost.tokens_per_second:,.0f} tokens/s): {foretold}"
    )


def peak_memory(device: torch.device) -> int:
    """Bytes that this process has held at the most, on a CUDA device those of its memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
