from pathlib import Path

import psutil
import pytest

from bertkit.core.machine import available_memory

MIB = 1 << 20


def _system(root: Path, files: dict[str, str]) -> Path:
    for name, content in {"proc/meminfo": f"MemTotal: {64 << 10} kB\nMemAvailable: {50 << 10} kB\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_it_is_what_the_machine_has_left(tmp_path: Path):
    assert available_memory(_system(tmp_path, {})) == 50 * MIB
    assert 0 < available_memory() <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("line", "folder", "limit", "usage", "cache"),
    [
        ("0::/job/step", "job", "memory.max", "memory.current", "inactive_file"),
        ("0::/", "", "memory.max", "memory.current", "inactive_file"),
        ("9:cpu,memory:/job", "memory/job", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ("9:memory:/of/the/host", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_a_control_group_leaves_less_and_its_cache_of_files_is_free(
    tmp_path: Path, line: str, folder: str, limit: str, usage: str, cache: str
):
    group = f"sys/fs/cgroup/{folder}"
    files = {
        "proc/self/cgroup": f"4:pids:/other\n{line}\n",
        f"{group}/{limit}": f"{20 * MIB}\n",
        f"{group}/{usage}": f"{15 * MIB}\n",
        f"{group}/memory.stat": f"anon {9 * MIB}\n{cache} {6 * MIB}\n",
    }
    assert available_memory(_system(tmp_path, files)) == 11 * MIB


def test_a_control_group_without_a_limit_leaves_all(tmp_path: Path):
    group = "sys/fs/cgroup/job"
    files = {"proc/self/cgroup": "0::/job\n", f"{group}/memory.max": "max\n", f"{group}/memory.current": "5\n"}
    assert available_memory(_system(tmp_path, files)) == 50 * MIB


def test_a_system_that_says_nothing_has_all_of_the_machine(tmp_path: Path):
    assert available_memory(tmp_path) == psutil.virtual_memory().total
