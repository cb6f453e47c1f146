"""The devices of torch: which one is used, in which precision, for how many tokens at once, and its memory."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import torch

from bertkit.core.console import counted
from bertkit.core.errors import InputError, MemoryLimitError
from bertkit.core.machine import Precision, cpu_name

Use = Literal["training", "evaluation", "inference"]
_TOKEN_BUDGETS: dict[str, dict[Use, int]] = {
    # Inference runs several batches side by side on a CPU: a batch of each has to fit the cache.
    "cpu": {"training": 4096, "evaluation": 4096, "inference": 2048},
    "cuda": {"training": 65536, "evaluation": 65536, "inference": 32768},
}


def default_device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def check_device(name: str) -> None:
    """Raise `InputError` where torch does not know this device, has no support for it, or the machine has none."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without CUDA
        said = str(error).partition("\n")[0]
        raise InputError(
            f"device {name!r} cannot be used ({said}): torch finds {counted(torch.cuda.device_count(), 'CUDA device')} "
            "here; give cpu, cuda, or one of several such as cuda:1"
        ) from error


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def resolve_precision(precision: Precision, device: torch.device) -> Literal["bf16", "float32"]:
    """Turn "auto" into bf16 where the device is fast at it, else float32."""
    if precision not in ("auto", "bf16", "float32"):
        raise InputError(f"precision {precision!r} is unknown: use auto, bf16 or float32")
    if precision == "auto":
        return "bf16" if has_fast_bf16(device) else "float32"
    return precision


def token_budget(device: torch.device, use: Use, asked: int | None = None) -> int:
    """How many tokens go through a model at once: as `asked`, or where that is None as many as suit the device."""
    return _TOKEN_BUDGETS.get(device.type, _TOKEN_BUDGETS["cpu"])[use] if asked is None else asked


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Matrix products in bf16 over float32 weights, or nothing for float32."""
    enabled = resolve_precision(precision, device) == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def seed_torch(key: int) -> None:
    """Seed every torch generator of this process with `key`."""
    torch.manual_seed(key & (2**63 - 1))


@contextmanager
def full_memory_named(device: torch.device) -> Iterator[None]:
    """Turn "out of memory" into a `MemoryLimitError` that names the device."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryLimitError.on(device.type, "the model and what its training needs") from error


def peak_memory(device: torch.device) -> int:
    """Most bytes that this process has held so far: of a CUDA device's memory, or of the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def describe_machine() -> str:
    """CPU or GPU, cores, precision and versions, in one line."""
    device = default_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    precision = resolve_precision("auto", device)
    return (
        f"{name}, {counted(cores or 1, 'CPU core')}, {counted(torch.get_num_threads(), 'thread')}, {precision}, "
        f"{platform.system()}, Python {platform.python_version()}, torch {torch.__version__}"
    )
