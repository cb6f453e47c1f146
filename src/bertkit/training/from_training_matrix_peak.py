"""How fast this machine multiplies matrices: what a model's own speed is held against."""
# N rows and columns.

from __future__ import annotations

import time

import torch

from bertkit.foundation.devices import autocast
from bertkit.foundation.precision import Precision

_SIZES = {"cuda": 8192, "cpu": 1024}
_SECONDS = 0.1


def measure_matrix_peak(device: torch.device, precision: Precision) -> float:
    """Operations/s of square products of (N, N), the fastest of those that a tenth of a second holds.

    In the precision in which a model trains; a multiplication with an addition counts as two.
    """
    size = _SIZES.get(device.type, _SIZES["cpu"])
    with torch.no_grad(), autocast(precision, device):
        # A GPU is faster at numbers that are all alike. A run's own generator stays as it is.
        generator = torch.Generator(device).manual_seed(0)
        left, right = torch.randn(2, size, size, device=device, generator=generator).unbind()
        dtype = torch.mm(left[:1], right).dtype
        left, right = left.to(dtype), right.to(dtype)
        best, end = float("inf"), None
        while end is None or time.perf_counter() < end:
            start = time.perf_counter()
            torch.mm(left, right)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if end is None:  # the first product loads the library's kernels
                end = time.perf_counter() + _SECONDS
            else:
                best = min(best, time.perf_counter() - start)
    if best == float("inf"):
        start = time.perf_counter()
        torch.mm(left, right)
        best = time.perf_counter() - start
    return 2 * size**3 / best
