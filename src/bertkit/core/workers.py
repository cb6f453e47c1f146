"""Work in other processes and machines: an engine for many tasks, of this machine or of Ray, single calls, shares.

joblib is no replacement for the engine: there the process that reads the tasks works on none of them, so that two
workers make three busy processes.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, Literal, Protocol, TypeVar, get_args

from bertkit.core.arguments import checked
from bertkit.core.errors import BertkitError, InputError, ResourceError
from bertkit.core.interrupts import Interrupts, Terminated
from bertkit.core.machine import tune_allocator

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")
EngineName = Literal["processes", "ray"]


class Engine(Protocol):
    """Runs functions on tasks, as many at the same time as there are workers."""

    is_local: bool
    """Whether all of them see the files that this process sees."""

    def map(self, function: Callable[[TaskT], ResultT], tasks: Iterable[TaskT]) -> Iterator[ResultT]:
        """Results in the order of the tasks, of which only a few are taken ahead."""
        ...


@checked
@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Who does the work; the result is the same."""

    engine: EngineName = "processes"
    """Processes of this machine, or tasks of Ray."""

    ray_address: str | None = None
    """Address of a running Ray cluster, host:port or "auto"; unless given, Ray is started here. All its machines must
    reach OUT by the same path."""

    def __post_init__(self) -> None:
        if self.engine not in get_args(EngineName):
            raise InputError(f"engine must be {' or '.join(get_args(EngineName))}, got {self.engine!r}")
        if self.ray_address is not None and self.engine != "ray":
            raise InputError(f"--ray-address {self.ray_address} needs --engine ray")

    def open(self, workers: int) -> AbstractContextManager[Engine]:
        """The engine with so many workers; a running cluster has its own number."""
        return _ray_engine(workers, self.ray_address) if self.engine == "ray" else process_engine(workers)


@checked
@dataclass(frozen=True)
class MachineShard:
    """One machine's share of the work: part `number` (from 1) of `of`, which is every `of`-th piece of it."""

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise InputError(f"--shard {self} does not exist: give --shard 1/{self.of} to {self.of}/{self.of}")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> MachineShard:
        """Read "2/4"."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or int(match[2]) == 0:
            raise InputError(f"--shard must be like 2/4, the second of four parts, got {text!r}")
        return cls(int(match[1]), int(match[2]))

    def has(self, index: int) -> bool:
        """Whether the piece with this index (from 0) belongs to this part."""
        return index % self.of == self.number - 1

    def all(self) -> list[MachineShard]:
        """All parts of the work."""
        return [MachineShard(number, self.of) for number in range(1, self.of + 1)]


@contextmanager
def process_engine(workers: int) -> Iterator[Engine]:
    """Run tasks in this process and in `workers` - 1 new ones."""
    tune_allocator()
    with closing(_ProcessEngine(workers)) as engine:
        yield engine


class CallProcesses:
    """Calls functions, each in a new process, from several threads of this one; all of them can be ended together."""

    def __init__(self) -> None:
        self._running: list[BaseProcess] = []
        self._lock, self._ended = threading.Lock(), False

    def end(self) -> None:
        """Stop the calls that run now, and let no other start."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.terminate()

    def call(self, function: Callable[[TaskT], object], task: TaskT, read_line: Callable[[str], None]) -> int:
        """Call `function(task)` in a new process and return that process's exit code, 0 too where `end` stopped it.

        `read_line` is told every line of its standard error. A `BertkitError` of the function is raised here.
        """
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        lines, standard_error = context.Pipe(duplex=False)
        with self._lock, _nothing_as_main():  # changes this process, so one thread at a time
            if self._ended:
                return 0
            process = context.Process(target=_answer_call, args=(theirs, standard_error))
            process.start()
            self._running.append(process)
        theirs.close()
        standard_error.close()
        with suppress(BrokenPipeError, ConnectionResetError):
            ours.send((function, task))
        with os.fdopen(os.dup(lines.fileno()), encoding="utf-8", errors="replace") as text:
            for line in text:
                read_line(line.rstrip())
        process.join()
        with self._lock:
            self._running.remove(process)
            if self._ended:
                return 0
        with suppress(EOFError, ConnectionResetError):
            raise ours.recv()
        assert process.exitcode is not None
        return process.exitcode


def _answer_call(calls: Connection, standard_error: Connection) -> None:
    os.dup2(standard_error.fileno(), 2)
    standard_error.close()
    with Interrupts() as interrupts:
        _start_worker()
        try:
            function, task = calls.recv()
            function(task)
        except BertkitError as error:
            calls.send(error)
        except Terminated:
            pass  # by the parent, or together with it
        sys.exit(0 if interrupts.received is None else 128 + interrupts.received)


def _start_worker() -> None:
    """Make this process end with its parent, however that ends, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    tune_allocator()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _nothing_as_main() -> Iterator[None]:
    """Keep processes that start meanwhile from running this one's script, which need not be guarded against that."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


class _ProcessEngine:
    """Other processes, and this one, which reads the tasks and works on some itself when enough of them wait.

    The others start when there is more than one task, and get their first one when they are up.
    """

    is_local = True

    def __init__(self, workers: int) -> None:
        self._others = workers - 1
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.RLock()  # of what follows, which the pool's own thread changes too
        self._idle = 0
        self._queue: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def map(self, function: Callable[[TaskT], ResultT], tasks: Iterable[TaskT]) -> Iterator[ResultT]:
        """Results in the order of the tasks, of which only a few are taken ahead."""
        pending: deque[Future[ResultT]] = deque()
        for task in tasks:
            pending.append(Future())
            self._queue.append((pending[-1], partial(function, task)))
            if len(self._queue) > 1 and self._pool is None:
                self._start()
            self._hand_out()
            if len(self._queue) > self._others:
                self._work()
            while pending and pending[0].done():
                yield self._result(pending.popleft())
        while self._queue:
            self._work()
        while pending:
            yield self._result(pending.popleft())

    def close(self) -> None:
        """End the other processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _start(self) -> None:
        self._pool = ProcessPoolExecutor(self._others, get_context("spawn"), _start_pool_worker)
        with _nothing_as_main():
            for _ in range(self._others):
                self._pool.submit(int).add_done_callback(self._is_idle)

    def _is_idle(self, _: object) -> None:
        with self._lock:
            self._idle += 1
        self._hand_out()

    def _hand_out(self) -> None:
        """Give tasks to the processes that have none."""
        with self._lock:
            while self._idle and self._queue:
                assert self._pool is not None
                future, work = self._queue.popleft()
                try:
                    answer = self._pool.submit(work)
                except RuntimeError as error:  # a process was killed
                    future.set_exception(error)
                    continue
                self._idle -= 1
                answer.add_done_callback(partial(_pass_on, future))
                answer.add_done_callback(self._is_idle)

    def _work(self) -> None:
        with self._lock:
            if not self._queue:
                return
            future, work = self._queue.popleft()
        try:
            future.set_result(work())
        except Exception as error:  # raised when the results before it have been given
            future.set_exception(error)

    def _result(self, future: Future[ResultT]) -> ResultT:
        try:
            return future.result()
        except BrokenProcessPool:
            raise ResourceError(
                "a worker process was killed, perhaps because memory was full: use fewer workers"
            ) from None


def _start_pool_worker() -> None:
    _start_worker()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent gets it too, and waits for what is begun
    atexit.register(os._exit, 0)  # its results are written, and to free its memory takes a tenth of a second


def _pass_on(future: Future[Any], answer: Future[Any]) -> None:
    if answer.cancelled():
        future.cancel()
    elif (error := answer.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(answer.result())


_ANSWER_SECONDS = 10.0
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


class _RayTasks:
    is_local = False

    def __init__(self, ray: ModuleType) -> None:
        self._ray = ray
        self._ahead = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))

    def map(self, function: Callable[[TaskT], ResultT], tasks: Iterable[TaskT]) -> Iterator[ResultT]:
        # A task that is run again, on another machine, finds what was done or does it again.
        remote = self._ray.remote(num_cpus=1)(_run)
        pending: deque[Any] = deque()
        for task in tasks:
            pending.append(remote.remote(function, task))
            if len(pending) >= self._ahead:
                yield self._result(pending.popleft())
        while pending:
            yield self._result(pending.popleft())

    def _result(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            raise error.cause from None
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, errors.ObjectLostError):
            raise ResourceError(
                "a worker of Ray was killed, perhaps because memory was full: give fewer workers, and run it again"
            ) from None


def _run(function: Callable[[TaskT], ResultT], task: TaskT) -> ResultT:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the tasks are the parallelism
    return function(task)


@contextmanager
def _ray_engine(workers: int, address: str | None) -> Iterator[_RayTasks]:
    """Run tasks on the cluster at `address` ("auto" finds one), or on a Ray of `workers` started here."""
    try:
        import ray  # noqa: PLC0415  # an extra
    except ImportError:
        raise InputError("--engine ray needs Ray, which is not installed: pip install 'bertkit[ray]'") from None
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init("local", num_cpus=workers, include_dashboard=False, **_QUIET)
        except Exception as error:  # a bare one where its processes take longer than it waits
            reason = str(error).splitlines()[0]
            raise ResourceError(f"Ray could not be started here ({reason}): try again when less is running") from None
    else:
        _check_reachable(address)
        try:
            ray.init(address, **_QUIET)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _unreachable(address, str(error).splitlines()[0]) from None
    try:
        yield _RayTasks(ray)
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ask for an answer before Ray does, which tries for minutes and says a lot."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    if not port.isdigit():
        raise InputError(f"--ray-address {address} is no address: give host:port or auto")
    try:
        socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from None


def _unreachable(address: str, reason: str) -> ResourceError:
    return ResourceError(
        f"no Ray cluster answers at {address} ({reason}): start it with `ray start --head`, or leave out --ray-address"
    )
