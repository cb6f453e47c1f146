"""One forward loop over sequences: batches by a token budget, on a backend, with their results in place."""
# T tokens, B sequences, S sequences in all, R rows of output, F features.

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertkit.core.arrays import run_positions, run_starts
from bertkit.core.batch import PackedBatch, pack, token_budget_batches
from bertkit.core.devices import token_budget
from bertkit.inference.backends.base import Backend, Output, Want
from bertkit.text.sequences import EncodedExample

CHUNK_TEXTS = 8192
"""Texts that are encoded and sorted at once."""

Result = TypeVar("Result")


def chunks(count: int) -> Iterator[range]:
    """The numbers from 0 up to `count` in runs of `CHUNK_TEXTS`."""
    for first in range(0, count, CHUNK_TEXTS):
        yield range(first, min(first + CHUNK_TEXTS, count))


def float_rows(batch: PackedBatch, output: Output) -> Tensor:
    """The only tensor of an output, float32 on the CPU."""
    (rows,) = output
    return rows.float().cpu()


class Engine:
    """Runs a backend over batches of at most `max_tokens` tokens, by default those that suit its device.

    On a CPU there are as many streams as torch has threads, each running a batch of its own on one core: a core then
    never waits inside an operation for the others, which costs a little on an idle machine and most of the time on a
    busy one (`benchmarks/embedding.py`). With one stream, with fewer batches than streams and on other devices, batches
    run one after another with every core.
    """

    def __init__(self, backend: Backend, *, max_tokens: int | None = None, streams: int | None = None) -> None:
        self.backend, self.device = backend, backend.device
        self._max_tokens = token_budget(self.device, "inference", max_tokens)
        if streams is None:
            streams = torch.get_num_threads() if self.device.type == "cpu" else 1
        self._streams = streams

    def run(self, batch: PackedBatch, want: Want) -> Output:
        """What is wanted of one batch, on the backend's device."""
        with torch.inference_mode():
            return self.backend.run(batch.to(self.device), want)

    def map(
        self, sequences: Sequence[EncodedExample], want: Want, read: Callable[[PackedBatch, Output], Result]
    ) -> Iterator[tuple[NDArray[np.int64], Result]]:
        """Yield what `read` makes of each batch and its output, with the places (B,) of the batch's sequences.

        The batches come in any order, sequences of like lengths together. `read` runs in a stream and should leave
        little: results wait in memory until they are asked for.
        """

        def run(places: NDArray[np.int64]) -> Result:
            with torch.inference_mode():
                batch = pack([sequences[place] for place in places]).to(self.device)
                return read(batch, self.backend.run(batch, want))

        lengths = [len(sequence) for sequence in sequences]
        batches = token_budget_batches(lengths, self._max_tokens, is_padded=self.backend.is_padded)
        side_by_side = self._streams > 1 and len(batches) >= self._streams
        yield from zip(batches, self._pool.map(run, batches) if side_by_side else map(run, batches), strict=True)

    def rows(
        self,
        sequences: Sequence[EncodedExample],
        want: Want,
        counts: NDArray[np.int64],
        read: Callable[[PackedBatch, Output], Tensor] = float_rows,
        advance: Callable[[int], None] = lambda count: None,
    ) -> Tensor:
        """What `read` makes of all outputs, float32 (R, F) in the sequences' order; sequence s has `counts[s]` rows.

        `advance` is told how many more sequences are done.
        """
        starts = run_starts(counts)
        rows = np.empty((0, 0), np.float32)
        for places, part in self.map(sequences, want, read):
            if rows.size == 0:
                rows = np.empty((int(counts.sum()), part.shape[1]), np.float32)
            # By NumPy: torch would wake threads that take the cores from the streams.
            rows[run_positions(starts[places], counts[places])] = part.numpy()
            advance(len(places))
        return torch.from_numpy(rows)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        """Threads that use one core each; torch's setting for threads that others start stays as it is."""
        before = torch.get_num_threads()
        started = threading.Barrier(self._streams + 1)
        pool = ThreadPoolExecutor(self._streams, "bertkit", initializer=torch.set_num_threads, initargs=(1,))
        for _ in range(self._streams):
            pool.submit(started.wait)
        started.wait()
        torch.set_num_threads(before)
        return pool
