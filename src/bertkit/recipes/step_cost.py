"""What a step of a run costs on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import torch

from bertkit.core.devices import full_memory_named, peak_memory
from bertkit.data.instances.batches import PretrainingBatch
from bertkit.data.instances.loader import PhasedLoader
from bertkit.data.instances.stages import BatchPhase
from bertkit.recipes.pretrain_setup import PretrainSetup
from bertkit.training.loop import accumulate_gradients
from bertkit.training.optimizers import new_optimizer
from bertkit.training.parallel import Replicas
from bertkit.training.step import Halving

_LEAST_PASSES = 2


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Measured, without the exchange between processes."""

    pass_seconds: float
    """Of a micro-batch, forward and backward, however small it is."""
    token_seconds: float
    """Of each token on top of that."""
    update_seconds: float
    """Of the optimiser, once a step."""
    tokens_per_sequence: float
    """Of the run's usual length."""
    micro_batch_tokens: int
    """The most that go through the model at once."""
    memory: int
    """Bytes that this process has held at the most, on a CUDA device of its memory."""

    def seconds(self, tokens: float) -> float:
        """Of a step with so many tokens."""
        passes = math.ceil(tokens / self.micro_batch_tokens)
        return passes * self.pass_seconds + tokens * self.token_seconds + self.update_seconds


@dataclass(frozen=True, kw_only=True)
class _Passes:
    """Micro-batches of one size, measured."""

    count: int
    sequences: int
    tokens: int
    seconds: float


def measure_step(setup: PretrainSetup, seconds: float = 3.0) -> StepCost:
    """Run micro-batches of the run's largest and smallest batches for some `seconds`; weights stay as they are.

    Micro-batches that memory does not hold are halved, as in training.
    """
    with full_memory_named(setup.group.device):
        return _Measurement(setup).cost(seconds)


class _Measurement:
    def __init__(self, setup: PretrainSetup) -> None:
        self._setup = setup
        self._replicas = Replicas(setup.objective)
        self._halving = Halving(setup.objective, setup.group)
        setup.objective.module.train()

    def cost(self, seconds: float) -> StepCost:
        setup = self._setup
        usual = [stage for stage in setup.stages if stage.seq_length == setup.options.instances.seq_length]
        smallest, largest = usual[0], usual[-1]
        found = self._passes(largest, seconds / 2 if smallest is not largest else seconds)
        pass_seconds, token_seconds = 0.0, found.seconds / found.tokens
        if 2 * smallest.batch_size < found.sequences / found.count:
            few = self._passes(smallest, seconds / 2)
            pass_seconds, token_seconds = _line(few, found)
        optimizer = new_optimizer(setup.objective.module.named_parameters(), setup.options.training.optimizer)
        optimizer.update(0.0, optimizer.gradient_norm())  # the first makes the moments, and its kernels
        start = self._now()
        optimizer.update(0.0, optimizer.gradient_norm())
        assert setup.options.micro_batch_tokens is not None
        return StepCost(
            pass_seconds=pass_seconds,
            token_seconds=token_seconds,
            update_seconds=self._now() - start,
            tokens_per_sequence=found.tokens / found.sequences,
            micro_batch_tokens=setup.options.micro_batch_tokens,
            memory=peak_memory(setup.group.device),
        )

    def _passes(self, stage: BatchPhase, seconds: float) -> _Passes:
        setup = self._setup
        assert setup.options.micro_batch_tokens is not None
        loader = PhasedLoader(
            {stage.seq_length: setup.data.sources[stage.seq_length]},
            [stage],
            [],
            micro_batch_tokens=setup.options.micro_batch_tokens,
            seed=setup.options.training.seed,
            pin_memory=setup.group.device.type == "cuda",
        )
        count = sequences = tokens = 0
        with closing(loader.batches(0)) as steps:
            micro_batches = (micro_batch for step in steps for micro_batch in step)
            self._go_through(next(micro_batches))  # kernels are made for the first
            start = self._now()
            while count < _LEAST_PASSES or self._now() - start < seconds:
                micro_batch = next(micro_batches)
                self._go_through(micro_batch)
                count += 1
                sequences += micro_batch.inputs.num_sequences
                tokens += micro_batch.inputs.num_tokens
            return _Passes(count=count, sequences=sequences, tokens=tokens, seconds=self._now() - start)

    def _go_through(self, micro_batch: PretrainingBatch) -> None:
        self._halving.run([micro_batch], self._pass)

    def _pass(self, parts: Sequence[PretrainingBatch]) -> None:
        accumulate_gradients(self._setup.objective, parts, self._setup.options.training, self._replicas)

    def _now(self) -> float:
        device = self._setup.group.device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()


def _line(few: _Passes, many: _Passes) -> tuple[float, float]:
    """Seconds of a pass and of each of its tokens, through two measurements; neither is below 0."""
    tokens = [passes.tokens / passes.count for passes in (few, many)]
    seconds = [passes.seconds / passes.count for passes in (few, many)]
    slope = min(max(0.0, (seconds[1] - seconds[0]) / (tokens[1] - tokens[0])), seconds[1] / tokens[1])
    return seconds[1] - slope * tokens[1], slope
