"""Tasks on Ray, on this machine or on a cluster."""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

from bertkit.foundation.errors import InputError, ResourceError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

_ANSWER_SECONDS = 10.0
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


class _RayTasks:
    is_local = False

    def __init__(self, ray: ModuleType) -> None:
        self._ray = ray
        self._ahead = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))

    def map(self, function: Callable[[TaskT], ResultT], tasks: Iterable[TaskT]) -> Iterator[ResultT]:
        # A task that is run again, on another machine, finds what was done or does it anew.
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
                "a worker of Ray was killed, perhaps for want of memory: give fewer workers, and run it again"
            ) from None


def _run(function: Callable[[TaskT], ResultT], task: TaskT) -> ResultT:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the tasks are the parallelism
    return function(task)


@contextmanager
def ray_engine(workers: int, address: str | None) -> Iterator[_RayTasks]:
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
