"""Batches of a run: a pure function of seed and step, in phases, prefetched; and those of an evaluation."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import InputError
from bertkit.core.randomness import derive_key, generator
from bertkit.data.instances.batches import InstanceSource, PretrainingBatch
from bertkit.data.instances.stages import BatchPhase

T = TypeVar("T")

PREFETCHED_STEPS = 3
"""Steps whose batches are made while another is used."""


def prefetch(make: Callable[[int], T], start: int, stop: int | None = None) -> Generator[T, None, None]:
    """What `make` returns for every step from `start` on, made in a background thread a few steps ahead."""
    steps = iter(range(start, stop)) if stop is not None else count(start)
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        ahead: deque[Future[T]] = deque()
        try:
            ahead.extend(pool.submit(make, step) for step in islice(steps, PREFETCHED_STEPS))
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(pool.submit(make, step) for step in islice(steps, 1))
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)


class PretrainingLoader:
    """The batch of every step, from any step on.

    Each epoch has as many steps as the instances of epoch 0 fill: an epoch that drew more drops the surplus after
    shuffling, one that drew fewer (or a source of less than one batch) repeats its order. Process `rank` of `size` gets
    its share of every batch; all shares together do not depend on `size`.
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
        return prefetch(self.batch, start_step, stop_step)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Order of an epoch's instances, one for each slot."""
        current = self._current
        if current is None or current[0] != epoch:
            order = generator(derive_key(self._seed, "order", epoch)).permutation(self._source.count(epoch))
            current = epoch, np.resize(order, self.sequences_per_epoch)
            self._current = current
        return current[1]


class PhasedLoader:
    """The batch of every step, a pure function of the seed, the step and the steps at which the phases start.

    `sources` are the instances by sequence length. `starts` are the first steps of the phases after the first; more
    may be appended during a run, for steps that have not been made yet. Phases of one length share their epochs.
    """

    def __init__(
        self,
        sources: Mapping[int, InstanceSource],
        phases: Sequence[BatchPhase],
        starts: Sequence[int],
        *,
        micro_batch_tokens: int,
        seed: int,
        rank: int = 0,
        size: int = 1,
        pin_memory: bool = False,
    ) -> None:
        sizes = [phase.batch_size for phase in phases]
        for name, sequences in (("batch_size", max(sizes)), ("ramp_from", min(sizes))):
            if sequences < size:
                raise InputError(f"{name} {sequences} leaves some of {size} processes without a sequence: raise it")
        self._phases, self._starts, self._pin_memory = phases, starts, pin_memory
        self._loaders = {
            length: PretrainingLoader(
                source,
                batch_size=max(phase.batch_size for phase in phases if phase.seq_length == length),
                micro_batch_tokens=micro_batch_tokens,
                seed=seed,
                rank=rank,
                size=size,
            )
            for length, source in sources.items()
        }

    def batch(self, step: int) -> list[PretrainingBatch]:
        """Micro-batches of one step (counted from 0)."""
        index = bisect_right(self._starts, step)
        bounds = [0, *self._starts[:index], step]
        phase = self._phases[index]
        before = sum(
            (bounds[place + 1] - bounds[place]) * earlier.batch_size
            for place, earlier in enumerate(self._phases[: index + 1])
            if earlier.seq_length == phase.seq_length
        )
        batches = self._loaders[phase.seq_length].take(before, phase.batch_size)
        return [batch.pin_memory() for batch in batches] if self._pin_memory else batches

    def batches(self, start_step: int, stop_step: int | None = None) -> Generator[list[PretrainingBatch], None, None]:
        """Batches of the steps from `start_step` on, made in a background thread a few steps ahead."""
        return prefetch(self.batch, start_step, stop_step)

    def epochs(self, steps: int) -> float:
        """How many epochs `steps` are."""
        bounds = [0, *(min(start, steps) for start in self._starts), steps]
        return sum(
            (bounds[place + 1] - bounds[place]) * phase.batch_size / self._loaders[phase.seq_length].source_sequences
            for place, phase in enumerate(self._phases[: len(bounds) - 1])
        )


_SORTED_TOGETHER = 1024
"""Sequences sorted by length and masked at a time."""


def evaluation_batches(
    source: InstanceSource, *, micro_batch_tokens: int, seed: int, max_sequences: int | None = None
) -> Iterator[PretrainingBatch]:
    """Yield every instance of epoch 0 once, or a random `max_sequences` of them; all calls give the same batches."""
    order = generator(derive_key(seed, "evaluation order")).permutation(source.count(0))[:max_sequences]
    for start in range(0, len(order), _SORTED_TOGETHER):
        rows = order[start : start + _SORTED_TOGETHER]
        numbers = start + np.arange(len(rows))
        yield from source.batches(0, rows, numbers=numbers, micro_batch_tokens=micro_batch_tokens)
