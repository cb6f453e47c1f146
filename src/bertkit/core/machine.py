"""What can be known of the machine without torch: precision names, CPU, memory, allocator, torchrun's variables.

Apart from devices.py, for the command line and `prepare` start without torch.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Precision = Literal["auto", "bf16", "float32"]
"""`auto` is bf16 where the device multiplies it in hardware, else float32."""
InferencePrecision = Literal["auto", "bf16", "float32", "int8"]
"""Of a model that is not trained any more; `auto` of an int8 folder is int8 on a CPU."""
WeightRange = Literal[127, 63]
"""Largest magnitude of an int8 weight."""

BackendName = Literal["auto", "native", "onnx", "openvino", "torch"]
"""What runs a model; `auto` is the fastest of those that are installed and can."""

_GROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of the second and of the first version of control groups: limit, usage, and the line of `memory.stat` that says how
much of the usage is a cache of files."""


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that can be allocated without swapping, of the machine or of the process's control group.

    Where the system tells neither, all of the machine's memory. `root` is that of the file system.
    """
    left = [*_left_by_machine(root), *_left_by_groups(root)]
    return max(0, min(left, default=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))


def _left_by_machine(root: Path) -> Iterator[int]:
    for line in _lines(root / "proc/meminfo"):
        name, _, amount = line.partition(":")
        if name == "MemAvailable":
            yield int(amount.split()[0]) << 10


def _groups(root: Path, controller: str) -> Iterator[tuple[Path, bool]]:
    """The process's control group and those around it, a container's being the outermost.

    With each, whether it is of the first version, where every controller has groups of its own.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / (controller if controllers else "")
        folder = top / group.lstrip("/")
        for place in (folder, *folder.parents):
            if place.is_relative_to(top):
                yield place, bool(controllers)


def _left_by_groups(root: Path) -> Iterator[int]:
    for group, _ in _groups(root, "memory"):
        yield from _left_by_group(group)


def _left_by_group(folder: Path) -> Iterator[int]:
    for limit, usage, cache in _GROUP_FILES:
        most, used = _lines(folder / limit), _lines(folder / usage)
        if most and used and most[0] != "max":
            cached = [int(line.split()[1]) for line in _lines(folder / "memory.stat") if line.startswith(f"{cache} ")]
            yield int(most[0]) - int(used[0]) + sum(cached)


def _lines(path: Path) -> list[str]:
    """Lines of a file, none of a missing one."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def cpu_name(root: Path = Path("/")) -> str:
    """As its maker calls it, else the kind of machine."""
    return _cpu_line("model name", root) or platform.processor() or platform.machine()


def cpu_flags(root: Path = Path("/")) -> frozenset[str]:
    """The instruction sets that Linux names, such as `avx512_bf16`; empty elsewhere."""
    return frozenset((_cpu_line("flags", root) or _cpu_line("Features", root)).split())


def _cpu_line(key: str, root: Path) -> str:
    for line in _lines(root / "proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def default_threads(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> int:
    """Threads that compute best: a core of those this process may use each, no more than its control group's quota.

    Two hardware threads of a core share its arithmetic units and count once. `OMP_NUM_THREADS` limits them as it does
    in other programs.
    """
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    topology = root / "sys/devices/system/cpu"
    cores = {"".join(_lines(topology / f"cpu{cpu}/topology/thread_siblings_list")) or str(cpu) for cpu in cpus}
    asked = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    limits = [len(cores), *_quotas(root), *([int(asked)] if asked.isdecimal() and int(asked) else [])]
    return max(1, min(limits))


def _quotas(root: Path) -> Iterator[int]:
    """CPUs that a control group around this process may use, rounded up: of the second and of the first version."""
    for group, is_first in _groups(root, "cpu"):
        files = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if is_first else ("cpu.max",)
        numbers = " ".join(line for name in files for line in _lines(group / name)).split()
        if len(numbers) == 2 and numbers[0].isdecimal():
            yield max(1, math.ceil(int(numbers[0]) / int(numbers[1])))


def has_cuda_device() -> bool:
    """Whether NVIDIA's driver sees a device that this process may use; torch, which asks it too, is not imported."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        count = ctypes.c_int()
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the system keeps what programs can make again, for bertkit."""
    given = environment.get("XDG_CACHE_HOME")
    if given:
        return Path(given) / "bertkit"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "bertkit"
    return Path.home() / ".cache" / "bertkit"


_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 256 << 20


def tune_allocator() -> None:
    """Keep freed memory in the process instead of handing every large tensor's pages back to the kernel.

    A training step frees and takes the same tensors again, preparation the same arrays; with glibc's defaults each of
    them is unmapped and page-faulted again, which costs a small model more than its matrix products
    (`benchmarks/training_step.py` prints both). Does nothing where the C library is not glibc.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, _TOP_PAD_BYTES)


_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Which of how many processes this one is; the only one unless a launcher started several."""

    rank: int = 0
    local_rank: int = 0
    """Among the processes of this machine."""
    size: int = 1
    restarts: int = 0
    """How often the launcher has restarted all of them."""
    address: str = ""
    """Where the processes meet, as host:port."""

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Launch:
        """Read it from torchrun's variables."""
        if not all(name in environment for name in _VARIABLES):
            return cls()
        rank, local_rank, size = (int(environment[name]) for name in _VARIABLES)
        address = f"{environment.get('MASTER_ADDR', 'localhost')}:{environment.get('MASTER_PORT', '')}"
        restarts = int(environment.get("TORCHELASTIC_RESTART_COUNT", 0))
        return cls(rank=rank, local_rank=local_rank, size=size, restarts=restarts, address=address)
