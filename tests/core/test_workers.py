import os
import signal
import subprocess
import sys
import time
import weakref

import pytest

from bertkit.data.process_engine import process_engine
from bertkit.foundation.errors import InputError, ResourceError


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
        "from bertkit.data.process_engine import process_engine\n"
        "print('run')\n"
        "with process_engine(2) as engine:\n"
        "    list(engine.map(time.sleep, [0.05] * 40))\n"
    )
    done = subprocess.run([sys.executable, script], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "run\n", "")
