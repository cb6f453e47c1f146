"""Pre-training batches in an order that is a pure function of (seed, step)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice

import numpy as np
from numpy.typing import NDArray

from bertkit.data.instance_source import InstanceSource
from bertkit.data.pretraining_batch import PretrainingBatch
from bertkit.foundation.errors import InputError
from bertkit.foundation.randomness import derive_key, generator

_PREFETCHED_STEPS = 3


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
        self.steps_per_epoch = max(1, source.count(0) // batch_size)

    def batch(self, step: int) -> list[PretrainingBatch]:
        """Micro-batches of one step (counted from 0), longest sequences first."""
        epoch, step_of_epoch = divmod(step, self.steps_per_epoch)
        slots = step_of_epoch * self._batch_size + np.arange(self._rank, self._batch_size, self._size)
        return self._source.batches(
            epoch, self._order(epoch)[slots], numbers=slots, micro_batch_tokens=self._micro_batch_tokens
        )

    def batches(self, start_step: int, stop_step: int | None = None) -> Iterator[list[PretrainingBatch]]:
        """Batches of the steps from `start_step` on, made in a background thread a few steps ahead."""
        steps = iter(range(start_step, stop_step)) if stop_step is not None else count(start_step)
        with ThreadPoolExecutor(1, thread_name_prefix="pretraining-loader") as pool:
            ahead: deque[Future[list[PretrainingBatch]]] = deque()
            try:
                ahead.extend(pool.submit(self.batch, step) for step in islice(steps, _PREFETCHED_STEPS))
                while ahead:
                    batch = ahead.popleft().result()
                    ahead.extend(pool.submit(self.batch, step) for step in islice(steps, 1))
                    yield batch
            finally:
                pool.shutdown(cancel_futures=True)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Order of an epoch's instances, one for each slot."""
        current = self._current
        if current is None or current[0] != epoch:
            order = generator(derive_key(self._seed, "order", epoch)).permutation(self._source.count(epoch))
            current = epoch, np.resize(order, self.steps_per_epoch * self._batch_size)
            self._current = current
        return current[1]
