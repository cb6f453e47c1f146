import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from bertkit.core.errors import InputError, MemoryLimitError, ResourceError
from bertkit.core.files import atomic_path
from bertkit.core.workers import CallProcesses, EngineOptions, process_engine


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


def speak(number):
    print(f"number {number}", "and more", sep="\n", file=sys.stderr)
    if number == 7:
        raise MemoryLimitError.on("cpu", "seven")
    if number == 8:
        raise LookupError("a bug")
    if number == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 10:
        time.sleep(60)


def write_and_wait(path):
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        print("begun", file=sys.stderr, flush=True)
        time.sleep(60)


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


def test_a_call_in_a_process_is_heard_line_by_line_and_says_how_it_ended():
    said = []
    processes = CallProcesses()
    assert processes.call(speak, 1, said.append) == 0
    assert said == ["number 1", "and more"]
    with pytest.raises(MemoryLimitError, match="does not hold seven"):
        processes.call(speak, 7, said.append)
    assert processes.call(speak, 8, said.append) == 1
    assert said[-1] == "LookupError: a bug"
    assert processes.call(speak, 9, said.append) == -signal.SIGKILL


def test_calls_that_are_ended_stop_at_once_and_no_other_starts():
    processes, said = CallProcesses(), []
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(processes.call, speak, 10, said.append) for _ in range(2)]
        while len(said) < 4:
            time.sleep(0.02)
        start = time.monotonic()
        processes.end()
        assert [call.result() for call in calls] == [0, 0]
        assert time.monotonic() - start < 30
    assert processes.call(speak, 1, said.append) == 0
    assert len(said) == 4


def test_a_script_needs_no_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from bertkit.core.workers import CallProcesses, process_engine\n"
        "print('run')\n"
        "with process_engine(2) as engine:\n"
        "    list(engine.map(time.sleep, [0.05] * 40))\n"
        "CallProcesses().call(time.sleep, 0, print)\n"
    )
    done = subprocess.run([sys.executable, script], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "run\n", "")


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


def test_a_call_that_is_ended_leaves_nothing_half_written(tmp_path):
    processes = CallProcesses()
    assert processes.call(write_and_wait, tmp_path / "a.txt", lambda line: processes.end()) == 0
    assert list(tmp_path.iterdir()) == []


def tell_and_wait(path):
    if "MainProcess" not in multiprocessing.current_process().name:
        path.write_text(str(os.getpid()))
    time.sleep(0.2)
    return os.getpid()


def test_a_termination_of_all_processes_leaves_what_workers_have_begun_to_the_parent(tmp_path):
    with process_engine(2) as engine:
        found = engine.map(tell_and_wait, [tmp_path / "pid"] * 12)
        pids = {next(found)}
        for pid in found:
            if (tmp_path / "pid").exists():
                os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
            pids.add(pid)
    assert len(pids) == 2
