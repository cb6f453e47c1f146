"""Tasks in processes of this machine."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import TypeVar

from bertkit.foundation.allocator import tune_allocator
from bertkit.foundation.errors import ResourceError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class _ThisProcess:
    def map(self, function: Callable[[TaskT], ResultT], tasks: Iterable[TaskT]) -> Iterator[ResultT]:
        return map(function, tasks)


class _Pool:
    def __init__(self, pool: ProcessPoolExecutor, workers: int) -> None:
        self._pool, self._workers = pool, workers

    def map(self, function: Callable[[TaskT], ResultT], tasks: Iterable[TaskT]) -> Iterator[ResultT]:
        pending: deque[Future[ResultT]] = deque()
        try:
            for task in tasks:
                pending.append(self._pool.submit(function, task))
                if len(pending) > self._workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool:
            raise ResourceError("a worker process was killed, perhaps for want of memory: use fewer workers") from None


@contextmanager
def process_engine(workers: int) -> Iterator[_ThisProcess | _Pool]:
    """Run tasks in `workers` new processes, or in this one if that is one."""
    tune_allocator()
    if workers == 1:
        yield _ThisProcess()
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker)
    for _ in range(workers):
        pool.submit(int)  # a process starts when something is submitted: all at once, while the first text is read
    try:
        yield _Pool(pool, workers)
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Make this process end with its parent, killed or not, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    tune_allocator()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
