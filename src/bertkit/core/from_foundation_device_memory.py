"""What a device's memory holds."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bertkit.foundation.errors import MemoryLimitError


@contextmanager
def full_memory_named(device: torch.device) -> Iterator[None]:
    """Turn "out of memory" into a `MemoryLimitError`, naming the device."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryLimitError(device.type, "the model and what its training needs") from error


def peak_memory(device: torch.device) -> int:
    """Bytes that this process has held at the most, on a CUDA device of its memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
