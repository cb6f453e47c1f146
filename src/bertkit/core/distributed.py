"""The processes of one run: how they meet, what they exchange, and how an error of one ends all."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import DistNetworkError
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from bertkit.core.devices import default_device
from bertkit.core.errors import BertkitError, InputError, RankError, ResourceError
from bertkit.core.machine import Launch

_POLL_SECONDS = 0.02
PATIENCE = timedelta(minutes=30)


def fresh_store(store: Store, rank: int, size: int) -> Store:
    """A part of `store` that no earlier start of the same job has written to; `size` processes call this alike.

    torchrun keeps one store for all restarts, where a process would find the addresses of those that are dead
    (github.com/pytorch/pytorch/issues/135712); its count of restarts is not the same on all machines. So everyone says
    hello under a new name, and takes the part that the first process gives to that name.
    """
    if rank:
        name = uuid.uuid4().hex
        store.set(f"hello/{rank}", name)
        part = store.get(f"welcome/{name}").decode()
        store.set(f"here/{part}/{rank}", "")
        return PrefixStore(part, store)
    part, patience_ends = uuid.uuid4().hex, time.monotonic() + PATIENCE.total_seconds()
    awaited = set(range(1, size))
    while awaited:
        if time.monotonic() > patience_ends:
            raise DistNetworkError(f"{len(awaited)} of {size} processes have not come within {PATIENCE}")
        for other in sorted(awaited):
            if store.check([f"here/{part}/{other}"]):
                awaited.remove(other)
            elif store.check([f"hello/{other}"]):
                # It may be an earlier one's: that is dead, and a later name will take its place.
                store.set(f"welcome/{store.get(f'hello/{other}').decode()}", part)
        time.sleep(_POLL_SECONDS)
    return PrefixStore(part, store)


T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ProcessGroup:
    """This process among those of a run, by default the only one. Every method is called by all of them."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=default_device)
    channel: dist.ProcessGroup | None = None
    """Carries what the processes tell each other, apart from what their devices exchange."""

    @property
    def is_main(self) -> bool:
        """Whether this is the first process, which prints, and writes the files that are written once."""
        return self.rank == 0

    @property
    def place(self) -> str:
        """Which process this is and where it runs."""
        return f"process {self.rank} of {self.size}, on {socket.gethostname()}"

    def gather(self, value: T) -> list[T]:
        """The values of all processes by rank; waits for all of them."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self.channel)
        return values

    def gather_counts(self, counts: Sequence[int]) -> list[list[int]]:
        """The same for a few integers, cheap enough for every step."""
        if self.size == 1:
            return [list(counts)]
        own = torch.tensor(counts, dtype=torch.int64)
        everyone = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(everyone, own, group=self.channel)
        return [row.tolist() for row in everyone]

    def sum(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Sums over all processes by name; a process may lack a name."""
        sums: dict[str, float] = defaultdict(float)
        for part in self.gather(figures):
            for name, value in part.items():
                sums[name] += value
        return dict(sums)

    def add_up(self, tensor: Tensor) -> Tensor:
        """Sum the processes' tensors in place, each on its own device; the CPU does not wait for it."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def deal(self, items: Iterable[T]) -> Iterator[tuple[T, bool]]:
        """This process's share of items that all processes iterate over, each with whether it counts.

        All get equally many: where the items run out, the last one is given again and does not count. Nothing is
        exchanged.
        """
        hand: list[T] = []
        for item in items:
            hand.append(item)
            if len(hand) == self.size:
                yield hand[self.rank], True
                hand.clear()
        if hand:
            yield hand[min(self.rank, len(hand) - 1)], self.rank < len(hand)

    def apart(self) -> ProcessGroup:
        """The same processes with a separate channel, for a background thread."""
        return self if self.size == 1 else replace(self, channel=dist.new_group(backend="gloo"))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Let a `BertkitError` of one process end all of them, with one message; no other method may be called inside.

        The first process raises an error of the same kind, the others exit in silence.
        """
        mine: tuple[int, str] | None = None
        try:
            yield
        except BertkitError as error:
            if self.size == 1:
                raise
            mine = error.exit_code, str(error) if self.is_main else f"{error} ({self.place})"
        for met in self.gather(mine):
            if met is not None:
                self._end(BertkitError.of(*met) or BertkitError(met[1]))

    def agree(self, facts: Mapping[str, Any]) -> None:
        """Raise `InputError` where a fact, such as which data there is, differs between processes."""
        everyone = self.gather((self.place, dict(facts)))
        first_place, first = everyone[0]
        for place, theirs in everyone:
            for name in {**first, **theirs}:
                if first.get(name) != theirs.get(name):
                    self._end(
                        InputError(
                            f"{name} is {first.get(name)} in {first_place} but {theirs.get(name)} in {place}: "
                            "all processes need the same"
                        )
                    )

    def _end(self, error: BertkitError) -> NoReturn:
        if self.is_main:
            raise error
        raise SystemExit(error.exit_code)


@contextlib.contextmanager
def joined(launch: Launch) -> Iterator[ProcessGroup]:
    """Meet the other processes that torchrun started; only the first one's output is seen from then on.

    Where one is lost, the first process raises `ResourceError` and the others exit.
    """
    if launch.size == 1:
        yield ProcessGroup()
        return
    device = _own_device(launch)
    try:
        store, *_ = next(rendezvous("env://", timeout=PATIENCE))
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=fresh_store(store, launch.rank, launch.size),
            rank=launch.rank,
            world_size=launch.size,
        )
        group = ProcessGroup(rank=launch.rank, size=launch.size, device=device, channel=dist.new_group(backend="gloo"))
    except (dist.DistError, RuntimeError) as error:
        raise RankError(_cannot_meet(launch, error)) from error
    try:
        with contextlib.nullcontext() if group.is_main else _silence():
            yield group
    except BertkitError as error:
        if group.is_main:
            raise
        raise RankError(f"{error} ({group.place})") from error
    except RuntimeError as error:
        if not _says_lost(error):
            raise
        if not group.is_main:
            raise SystemExit(ResourceError.exit_code) from error
        raise ResourceError(
            f"another of the {group.size} processes has ended ({_reason(error)}): torchrun's report says which "
            "and how; with --max-restarts 3 it starts all again, and a run resumes at its last checkpoint"
        ) from error
    dist.destroy_process_group()


def _own_device(launch: Launch) -> torch.device:
    device = default_device()
    if device.type != "cuda":
        return device
    if launch.local_rank >= torch.cuda.device_count():
        raise RankError(
            f"this machine has {torch.cuda.device_count()} CUDA devices, too few for process {launch.local_rank} of "
            f"it: use torchrun --nproc-per-node {torch.cuda.device_count()}"
        )
    device = torch.device("cuda", launch.local_rank)
    torch.cuda.set_device(device)
    return device


def _cannot_meet(launch: Launch, error: Exception) -> str:
    if "EADDRINUSE" in str(error):
        return (
            f"the port of {launch.address} is in use: "
            f"give torchrun another --master-port, or --standalone, which takes a free one"
        )
    return f"process {launch.rank} of {launch.size} cannot meet the others at {launch.address} ({_reason(error)})"


def _reason(error: Exception) -> str:
    """The first sentence, without the place in torch's sources."""
    return str(error).strip().split("\n", 1)[0].split("] ", 1)[-1].split(". ", 1)[0]


def _says_lost(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield
