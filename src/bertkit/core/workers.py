"""Tasks in processes of this machine."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from functools import partial
from multiprocessing import get_context, parent_process
from types import ModuleType
from typing import Any, TypeVar

from bertkit.foundation.allocator import tune_allocator
from bertkit.foundation.errors import ResourceError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class ProcessEngine:
    """Other processes, and this one, which reads the tasks and works on some itself when there are enough in line.

    The others start when there is more than one task, and get one when they are up.
    """

    is_local = True

    def __init__(self, workers: int) -> None:
        self._others = workers - 1
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.RLock()  # of what follows, which the pool's own thread changes too
        self._idle = 0
        self._line: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def map(self, function: Callable[[TaskT], ResultT], tasks: Iterable[TaskT]) -> Iterator[ResultT]:
        """Results in the order of the tasks, of which only a few are taken ahead."""
        pending: deque[Future[ResultT]] = deque()
        for task in tasks:
            pending.append(Future())
            self._line.append((pending[-1], partial(function, task)))
            if len(self._line) > 1 and self._pool is None:
                self._start()
            self._send()
            if len(self._line) > self._others:
                self._work()
            while pending and pending[0].done():
                yield self._result(pending.popleft())
        while self._line:
            self._work()
        while pending:
            yield self._result(pending.popleft())

    def close(self) -> None:
        """End the other processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _start(self) -> None:
        self._pool = ProcessPoolExecutor(self._others, get_context("spawn"), _start_worker)
        with _nothing_as_main():
            for _ in range(self._others):
                self._pool.submit(int).add_done_callback(self._is_idle)

    def _is_idle(self, _: object) -> None:
        with self._lock:
            self._idle += 1
        self._send()

    def _send(self) -> None:
        """Give tasks to the processes that have none."""
        with self._lock:
            while self._idle and self._line:
                assert self._pool is not None
                promise, work = self._line.popleft()
                try:
                    answer = self._pool.submit(work)
                except RuntimeError as error:  # a process was killed
                    promise.set_exception(error)
                    continue
                self._idle -= 1
                answer.add_done_callback(partial(_pass_on, promise))
                answer.add_done_callback(self._is_idle)

    def _work(self) -> None:
        with self._lock:
            if not self._line:
                return
            promise, work = self._line.popleft()
        try:
            promise.set_result(work())
        except Exception as error:  # raised when the results before it have been given
            promise.set_exception(error)

    def _result(self, promise: Future[ResultT]) -> ResultT:
        try:
            return promise.result()
        except BrokenProcessPool:
            raise ResourceError("a worker process was killed, perhaps for want of memory: use fewer workers") from None


def _pass_on(promise: Future[Any], answer: Future[Any]) -> None:
    if answer.cancelled():
        promise.cancel()
    elif (error := answer.exception()) is not None:
        promise.set_exception(error)
    else:
        promise.set_result(answer.result())


@contextmanager
def process_engine(workers: int) -> Iterator[ProcessEngine]:
    """Run tasks in this process and in `workers` - 1 new ones."""
    tune_allocator()
    with closing(ProcessEngine(workers)) as engine:
        yield engine


@contextmanager
def _nothing_as_main() -> Iterator[None]:
    """Keep processes that start meanwhile from running this one's script, which need not be guarded against that."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _start_worker() -> None:
    """Make this process end at once, and with its parent, killed or not, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    atexit.register(os._exit, 0)  # what it has made is written, and to clear its memory takes a tenth of a second
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    tune_allocator()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
