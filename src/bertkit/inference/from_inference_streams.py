"""Batches side by side, one core each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Streams:
    """Runs a function on items in as many threads as torch uses, each item on one core.

    A core that works on a batch of its own never waits inside an operation for the others, which costs a little on an
    idle machine and most of the time on a busy one (`benchmarks/embedding.py`). Fewer items than threads, and those
    for other devices than the processor, run one after another with every core.
    """

    def __init__(self, device: torch.device) -> None:
        self._count = torch.get_num_threads() if device.type == "cpu" else 1

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """The function's results in the items' order; it runs in inference mode."""

        def run(item: Item) -> Result:
            with torch.inference_mode():
                return function(item)

        if self._count == 1 or len(items) < self._count:
            return map(run, items)
        return self._pool.map(run, items)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        """Threads that use one core each; torch's setting for threads that others start stays as it is."""
        before = torch.get_num_threads()
        started = threading.Barrier(self._count + 1)
        pool = ThreadPoolExecutor(self._count, "bertkit", initializer=torch.set_num_threads, initargs=(1,))
        for _ in range(self._count):
            pool.submit(started.wait)
        started.wait()
        torch.set_num_threads(before)
        return pool
