"""Pre-training batches in an order that is a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bertkit.data.instance_source import InstanceSource
from bertkit.data.made_ahead import made_ahead
from bertkit.data.pretraining_batch import PretrainingBatch
from bertkit.foundation.errors import InputError
from bertkit.foundation.randomness import derive_key, generator


class PretrainingLoader:
    """Every step's batch, from any step on at once.

    Each epoch has as many steps as the instances of epoch 0 fill: an epoch that drew more leaves the surplus out
    after shuffling, one that drew fewer (or a source of less than one batch) starts its order again. Process `rank` of
    `size` gets its share of every batch; all shares together do not depend on `size`.
    """

    def __init__(
        self,
        source: InstanceSource,
        *,
        batch_size: int,
        micro_batch_tokens: int,
        seed: int,
        rank: int = 0,
        size: int = 1,
    ) -> None:
        if batch_size < 1 or micro_batch_tokens < 1:
            raise InputError(
                f"batch_size and micro_batch_tokens must be at least 1, got {batch_size} and {micro_batch_tokens}"
            )
        if batch_size < size:
            raise InputError(f"batch_size {batch_size} leaves some of {size} processes without a sequence: raise it")
        self._source, self._seed = source, seed
        self._rank, self._size = rank, size
        self._batch_size, self._micro_batch_tokens = batch_size, micro_batch_tokens
        self._current: tuple[int, NDArray[np.int64]] | None = None
        self.source_sequences = source.count(0)
        self.steps_per_epoch = max(1, self.source_sequences // batch_size)
        self.sequences_per_epoch = self.steps_per_epoch * batch_size

    def batch(self, step: int) -> list[PretrainingBatch]:
        """Micro-batches of one step (counted from 0), longest sequences first."""
        return self.take(step * self._batch_size, self._batch_size)

    def take(self, first: int, count: int) -> list[PretrainingBatch]:
        """Micro-batches of the next `count` sequences after the `first` of all epochs."""
        places = np.arange(first + self._rank, first + count, self._size)
        epochs, slots = np.divmod(places, self.sequences_per_epoch)
        return [
            batch
            for epoch in np.unique(epochs).tolist()
            for batch in self._source.batches(
                epoch,
                self._order(epoch)[slots[epochs == epoch]],
                numbers=slots[epochs == epoch],
                micro_batch_tokens=self._micro_batch_tokens,
            )
        ]

    def batches(self, start_step: int, stop_step: int | None = None) -> Iterator[list[PretrainingBatch]]:
        """Batches of the steps from `start_step` on, made in a background thread a few steps ahead."""
        return made_ahead(self.batch, start_step, stop_step)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Order of an epoch's instances, one for each slot."""
        current = self._current
        if current is None or current[0] != epoch:
            order = generator(derive_key(self._seed, "order", epoch)).permutation(self._source.count(epoch))
            current = epoch, np.resize(order, self.sequences_per_epoch)
            self._current = current
        return current[1]
