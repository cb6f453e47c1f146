"""What runs the tasks of a preparation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, get_args

from bertkit.data.process_engine import process_engine
from bertkit.data.ray_engine import ray_engine
from bertkit.foundation.errors import InputError

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


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Who does the work; the result is the same."""

    engine: EngineName = "processes"
    """Processes of this machine, or tasks of Ray."""

    ray_address: str | None = None
    """A running Ray cluster, as host:port or "auto"; without it Ray is started here. OUT must be on a disk of all."""

    def __post_init__(self) -> None:
        if self.engine not in get_args(EngineName):
            raise InputError(f"engine must be {' or '.join(get_args(EngineName))}, got {self.engine!r}")
        if self.ray_address is not None and self.engine != "ray":
            raise InputError(f"--ray-address {self.ray_address} needs --engine ray")

    def open(self, workers: int) -> AbstractContextManager[Engine]:
        """The engine with so many workers; a running cluster has its own number."""
        return ray_engine(workers, self.ray_address) if self.engine == "ray" else process_engine(workers)
