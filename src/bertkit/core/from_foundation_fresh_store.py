"""Where the processes of one start of a job find each other."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

from torch.distributed import DistNetworkError
from torch.distributed.distributed_c10d import PrefixStore, Store

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
