"""What a process says and does by itself; several together are in tests/training/test_distributed.py."""

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch.distributed as dist

from bertkit.cli.main import USER_ERROR, run
from bertkit.core.distributed import ProcessGroup, fresh_store, joined
from bertkit.core.errors import InputError
from bertkit.core.machine import Launch


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


TORCHRUN = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "host", "MASTER_PORT": "29500"}


def test_without_a_launcher_a_process_is_alone():
    assert Launch.read({}) == Launch()
    assert Launch.read({"WORLD_SIZE": "2", "RANK": "1"}) == Launch()  # what a cluster says of machines, not processes
    with joined(Launch()) as group:
        assert (group.rank, group.size, group.is_main) == (0, 1, True)


def test_torchrun_says_who_a_process_is():
    launch = Launch.read({**TORCHRUN, "TORCHELASTIC_RESTART_COUNT": "2"})
    assert launch == Launch(rank=3, local_rank=1, size=4, restarts=2, address="host:29500")


def test_alone_everything_is_ones_own():
    group = ProcessGroup()
    assert group.gather("mine") == ["mine"]
    assert group.gather_counts([1, 2]) == [[1, 2]]
    assert group.sum({"loss": 2.5}) == {"loss": 2.5}
    assert list(group.deal("abc")) == [("a", True), ("b", True), ("c", True)]
    group.agree({"data": "any"})
    with pytest.raises(InputError, match="mistake"), group.together():
        raise InputError("mistake")


@pytest.mark.parametrize("items", ["abc", "abcd", "abcde", "abcdefg", "a", ""])
@pytest.mark.parametrize("size", [2, 3])
def test_items_are_dealt_once_and_as_many_to_each(items: str, size: int):
    hands = [list(ProcessGroup(rank=rank, size=size).deal(items)) for rank in range(size)]
    assert sorted(item for hand in hands for item, counts in hand if counts) == sorted(items)
    assert len({len(hand) for hand in hands}) == 1


def test_a_command_for_one_process_refuses_to_run_in_several(monkeypatch: pytest.MonkeyPatch, capsys):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert run(["vocab", "corpus.txt", "--out", "tokenizer"]) == USER_ERROR
    assert capsys.readouterr().err == ""  # the first process speaks
    monkeypatch.setenv("RANK", "0")
    assert run(["vocab", "corpus.txt", "--out", "tokenizer"]) == USER_ERROR
    assert "start this command without torchrun" in capsys.readouterr().err


def test_a_port_in_use_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(taken.getsockname()[1])}
        script = "from bertkit.core.machine import Launch; from bertkit.core.distributed import joined\n"
        script += "with joined(Launch.read()): pass"
        ended = subprocess.run(
            [sys.executable, "-c", script],
            env={**TORCHRUN, **where, "RANK": "0", "LOCAL_RANK": "0"},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode != 0
    last = ended.stderr.strip().splitlines()[-1]
    assert f"RankError: the port of 127.0.0.1:{where['MASTER_PORT']} is in use" in last
