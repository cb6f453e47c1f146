from concurrent.futures import ThreadPoolExecutor

import pytest
import torch.distributed as dist

from bertkit.foundation.fresh_store import fresh_store


def _start(store: dist.Store, size: int) -> list[dist.Store]:
    with ThreadPoolExecutor(size) as processes:
        return list(processes.map(lambda rank: fresh_store(store, rank, size), range(size)))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_all_processes_of_a_start_share_what_earlier_starts_do_not_see(size: int):
    store = dist.HashStore()
    for start in range(3):
        parts = _start(store, size)
        assert not any(part.check(["address"]) for part in parts)
        parts[0].set("address", str(start))
        assert [part.get("address") for part in parts] == [str(start).encode()] * size


def test_a_start_whose_processes_died_before_they_met_leaves_nothing_behind():
    store = dist.HashStore()
    store.set("hello/1", "dead")
    first, second = _start(store, 2)
    first.set("address", "new")
    assert second.get("address") == b"new"
