"""Fine-tuning batches in an order that is a pure function of (seed, step)."""
# B sequences.

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bertkit.data.packing import pack, token_budget_batches
from bertkit.foundation.packed_batch import PackedBatch
from bertkit.foundation.randomness import derive_key, generator
from bertkit.text.encoded_example import EncodedExample


@dataclass(frozen=True)
class TaskBatch:
    """Packed sequences with their targets (B,)."""

    inputs: PackedBatch
    targets: Tensor


class FinetuneLoader:
    """Every epoch is a new permutation of the examples; its last batch may be smaller."""

    def __init__(
        self,
        encoded: Sequence[EncodedExample],
        targets: Tensor,
        *,
        batch_size: int,
        micro_batch_tokens: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self._encoded, self._targets, self._device = encoded, targets, device
        self._batch_size, self._micro_batch_tokens, self._seed = batch_size, micro_batch_tokens, seed
        self.steps_per_epoch = math.ceil(len(encoded) / batch_size)

    def batches(self, start: int, stop: int) -> Iterator[list[TaskBatch]]:
        """Micro-batches of the steps from `start` up to `stop`, longest sequences first."""
        epoch, order = -1, None
        for step in range(start, stop):
            if order is None or epoch != step // self.steps_per_epoch:
                epoch = step // self.steps_per_epoch
                order = generator(derive_key(self._seed, "order", epoch)).permutation(len(self._encoded))
            first = step % self.steps_per_epoch * self._batch_size
            chosen = order[first : first + self._batch_size]
            groups = token_budget_batches([len(self._encoded[index]) for index in chosen], self._micro_batch_tokens)
            yield [self._micro_batch(chosen[group].tolist()) for group in groups]

    def _micro_batch(self, indices: list[int]) -> TaskBatch:
        inputs = pack([self._encoded[index] for index in indices])
        return TaskBatch(inputs.to(self._device), self._targets[indices].to(self._device))
