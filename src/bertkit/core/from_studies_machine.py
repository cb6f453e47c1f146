"""The machine that a study ran on, in words."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from bertkit.foundation.counted import counted
from bertkit.foundation.devices import default_device, resolve_precision


def describe_machine() -> str:
    """Processor or GPU, cores, precision and versions, in one line."""
    device = default_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    precision = resolve_precision("auto", device)
    return (
        f"{name}, {counted(cores or 1, 'CPU core')}, {counted(torch.get_num_threads(), 'thread')}, {precision}, "
        f"{platform.system()}, Python {platform.python_version()}, torch {torch.__version__}"
    )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
