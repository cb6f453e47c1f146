"""Fine-tuning batches in an order that is a pure function of (seed, step)."""
# B sequences.

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertkit.data.packing import pack, token_budget_batches
from bertkit.foundation.packed_batch import PackedBatch
from bertkit.foundation.ragged import run_positions
from bertkit.foundation.randomness import derive_key, generator
from bertkit.tasks.instances import TaskInstances


@dataclass(frozen=True)
class TaskBatch:
    """The packed sequences of B instances with their targets; instance b owns output rows from `bounds[b]` on."""

    inputs: PackedBatch
    targets: Tensor
    bounds: Tensor
    """(B + 1,)"""


class FinetuneLoader:
    """Every epoch is a new permutation of the instances; its last batch may be smaller."""

    def __init__(
        self,
        instances: TaskInstances[Any],
        *,
        batch_size: int,
        micro_batch_tokens: int,
        seed: int,
        device: torch.device,
    ) -> None:
        assert instances.targets is not None
        self._instances, self._targets, self._device = instances, instances.targets, device
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
            pack([instances.sequences[index] for index in sequences]).to(self._device),
            self._targets[torch.from_numpy(targeted)].to(self._device),
            torch.from_numpy(np.concatenate([[0], np.cumsum(row_counts)])).to(self._device),
        )
