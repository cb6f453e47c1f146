"""One forward loop over sequences: batches by a token budget, on a backend, with their results in place."""
# B sequences, S sequences in all, R rows of output, F features.

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import run_positions, run_starts
from bertkit.core.packing import PackedArrays, token_budget_batches
from bertkit.inference.backends.base import Backend, Output, Want
from bertkit.text.sequences import EncodedExample

CHUNK_TEXTS = 8192
"""Texts that are encoded and sorted at once."""

Result = TypeVar("Result")


def chunks(count: int) -> Iterator[range]:
    """The numbers from 0 up to `count` in runs of `CHUNK_TEXTS`."""
    for first in range(0, count, CHUNK_TEXTS):
        yield range(first, min(first + CHUNK_TEXTS, count))


def only_array(batch: PackedArrays, output: Output) -> NDArray[np.float32]:
    """The only array of an output."""
    (rows,) = output
    return rows


class Engine:
    """Runs a backend over batches of at most `max_tokens` tokens, by default those that suit its device.

    On a CPU there are as many streams as the backend has threads, each running a batch of its own on one core: a core
    then never waits inside an operation for the others, which costs a little on an idle machine and most of the time
    on a busy one (`benchmarks/embedding.py`). With one stream, with fewer batches than streams and on other devices,
    batches run one after another with every core. May be used from several threads at once, and in forked processes.
    """

    def __init__(self, backend: Backend, *, max_tokens: int | None = None, streams: int | None = None) -> None:
        self.backend = backend
        self._max_tokens = backend.max_tokens if max_tokens is None else max_tokens
        self._streams = backend.streams if streams is None else streams
        self._pools: dict[int, ThreadPoolExecutor] = {}

    def run(self, batch: PackedArrays, want: Want) -> Output:
        """What is wanted of one batch."""
        return self.backend.run(batch, want)

    def map(
        self, sequences: Sequence[EncodedExample], want: Want, read: Callable[[PackedArrays, Output], Result]
    ) -> Iterator[tuple[NDArray[np.int64], Result]]:
        """Yield what `read` makes of each batch and its output, with the places (B,) of the batch's sequences.

        The batches come in any order, sequences of like lengths together. `read` runs in a stream and should leave
        little: results wait in memory until they are asked for.
        """

        def run(places: NDArray[np.int64]) -> Result:
            batch = PackedArrays.of([sequences[place] for place in places.tolist()])
            return read(batch, self.backend.run(batch, want))

        lengths = [len(sequence) for sequence in sequences]
        batches = token_budget_batches(lengths, self._max_tokens, is_padded=self.backend.is_padded)
        side_by_side = self._streams > 1 and len(batches) >= self._streams
        yield from zip(batches, self._pool().map(run, batches) if side_by_side else map(run, batches), strict=True)

    def rows(
        self,
        sequences: Sequence[EncodedExample],
        want: Want,
        counts: NDArray[np.int64],
        read: Callable[[PackedArrays, Output], NDArray[np.float32]] = only_array,
        advance: Callable[[int], None] = lambda count: None,
    ) -> NDArray[np.float32]:
        """What `read` makes of all outputs, float32 (R, F) in the sequences' order; sequence s has `counts[s]` rows.

        `advance` is told how many more sequences are done.
        """
        starts = run_starts(counts)
        rows = np.empty((0, 0), np.float32)
        for places, part in self.map(sequences, want, read):
            if rows.size == 0:
                rows = np.empty((int(counts.sum()), part.shape[1]), np.float32)
            rows[run_positions(starts[places], counts[places])] = part
            advance(len(places))
        return rows

    def _pool(self) -> ThreadPoolExecutor:
        """Threads that use one core each, of this process: a forked child has none of its parent's."""
        process = os.getpid()
        if process not in self._pools:  # several threads may get here: the pool that loses has started no thread
            made = ThreadPoolExecutor(self._streams, "bertkit", initializer=self.backend.start_stream)
            self._pools.setdefault(process, made)
        return self._pools[process]
