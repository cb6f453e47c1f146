import os
import signal
import socket
import subprocess
import sys
import time
import weakref

import pytest

from bertkit.cli.main import USER_ERROR, run
from bertkit.core.errors import InputError, ResourceError
from bertkit.core.workers import EngineOptions, process_engine
from tiny_corpora import contents, make_text


def where(number):
    time.sleep(0.02)
    return number, os.getpid()


class Task:
    """Stands for a text that takes room."""


def work_on(task):
    time.sleep(0.02)


def refuse_seven(number):
    if number == 7:
        raise InputError("seven is not wanted")
    return number


def die(parent):
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_tasks_from_so_many_processes(workers):
    with process_engine(workers) as engine:
        results = list(engine.map(where, range(200)))
        assert [number for number, _ in results] == list(range(200))
        assert os.getpid() in {process for _, process in results}
        assert len({process for _, process in results}) <= workers
        assert list(engine.map(abs, [-3, -2])) == [3, 2]


def test_two_workers_share_the_tasks():
    with process_engine(2) as engine:
        processes = {process for _, process in engine.map(where, range(200))}
    assert len(processes) == 2


def test_few_tasks_are_in_memory_at_once():
    alive, most = weakref.WeakSet(), 0

    def tasks():
        nonlocal most
        for _ in range(100):
            task = Task()
            alive.add(task)
            most = max(most, len(alive))
            yield task

    with process_engine(2) as engine:
        for _ in engine.map(work_on, tasks()):
            pass
    assert most <= 6


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_raised_after_the_results_before_it(workers):
    found = []
    with process_engine(workers) as engine, pytest.raises(InputError, match="seven"):
        for number in engine.map(refuse_seven, range(100)):
            found.append(number)
    assert found == list(range(7))


def test_a_worker_that_is_killed_is_one_line():
    with process_engine(2) as engine, pytest.raises(ResourceError, match="a worker process was killed"):
        list(engine.map(die, [os.getpid()] * 100))


def test_without_tasks_there_are_no_results():
    with process_engine(2) as engine:
        assert list(engine.map(where, [])) == []


def test_a_script_needs_no_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from bertkit.core.workers import process_engine\n"
        "print('run')\n"
        "with process_engine(2) as engine:\n"
        "    list(engine.map(time.sleep, [0.05] * 40))\n"
    )
    done = subprocess.run([sys.executable, script], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "run\n", "")


def test_two_workers_of_a_local_ray_write_the_same_bytes(tmp_path, tokenizer):
    (tmp_path / "text.txt").write_text(make_text(400) * 60)  # two shards
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    command = ["prepare", str(tmp_path / "text.txt"), "--tokenizer", str(tmp_path / "tokenizer"), "--out"]
    drop = ["--drop-duplicates", "documents"]
    assert run([*command, str(tmp_path / "ray"), "--engine", "ray", "--workers", "2", *drop]) == 0
    assert run([*command, str(tmp_path / "one"), "--workers", "1", *drop]) == 0
    assert contents(tmp_path / "ray") == contents(tmp_path / "one")


def test_ray_that_is_not_installed_is_one_line(tmp_path, tokenizer, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "text.txt").write_text(make_text(3))
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    command = ["prepare", str(tmp_path / "text.txt"), "--tokenizer", str(tmp_path / "tokenizer"), "--engine", "ray"]
    assert run([*command, "--out", str(tmp_path / "out")]) == USER_ERROR
    assert "pip install 'bertkit[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_cluster_that_does_not_answer_is_named():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with (
            pytest.raises(ResourceError, match=f"no Ray cluster answers at {address}"),
            EngineOptions(engine="ray", ray_address=address).open(2),
        ):
            pass
    with (
        pytest.raises(InputError, match="give host:port or auto"),
        EngineOptions(engine="ray", ray_address="head:x").open(2),
    ):
        pass


def test_an_address_without_ray_is_refused():
    with pytest.raises(InputError, match="--engine ray"):
        EngineOptions(ray_address="auto")
    with pytest.raises(InputError, match="processes or ray"):
        EngineOptions(engine="spark")
