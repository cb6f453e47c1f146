"""Memory that is free."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_GROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of the second and of the first version of control groups: limit, usage, and the line of `memory.stat` that says how
much of the usage is a cache of files."""


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that can be had without swapping: what the machine has left, or its control group leaves the process.

    Where the system says neither, all of the machine's. `root` is the file system's.
    """
    left = [*_left_by_machine(root), *_left_by_groups(root)]
    return max(0, min(left, default=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))


def _left_by_machine(root: Path) -> Iterator[int]:
    for line in _lines(root / "proc/meminfo"):
        name, _, amount = line.partition(":")
        if name == "MemAvailable":
            yield int(amount.split()[0]) << 10


def _left_by_groups(root: Path) -> Iterator[int]:
    """Of the process's control group and of those that it lies in, a container's being the outermost."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        folder = top / group.lstrip("/")
        for place in (folder, *folder.parents):
            if place.is_relative_to(top):
                yield from _left_by_group(place)


def _left_by_group(folder: Path) -> Iterator[int]:
    for limit, usage, cache in _GROUP_FILES:
        most, used = _lines(folder / limit), _lines(folder / usage)
        if most and used and most[0] != "max":
            cached = [int(line.split()[1]) for line in _lines(folder / "memory.stat") if line.startswith(f"{cache} ")]
            yield int(most[0]) - int(used[0]) + sum(cached)


def _lines(path: Path) -> list[str]:
    """None of a file that is not there."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
