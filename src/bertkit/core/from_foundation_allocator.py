"""The C library's memory."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 256 << 20


def tune_allocator() -> None:
    """Keep freed memory in the process instead of handing every large tensor's pages back to the kernel.

    A training step frees and takes the same tensors again, preparation the same arrays; with glibc's defaults each of
    them is unmapped and page-faulted anew, which costs a small model more than its matrix products
    (`benchmarks/training_step.py` prints both). Does nothing where the C library is not glibc.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, _TOP_PAD_BYTES)
