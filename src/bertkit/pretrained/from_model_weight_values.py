"""What a stored weight may be."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from bertkit.foundation.errors import InputError


def check_values(file: Path, name: str, tensor: Tensor) -> None:
    """Raise `InputError` for what is no floating-point tensor, or not finite."""
    if not tensor.is_floating_point():
        raise InputError(f"{file}: {name} is {tensor.dtype}, not floating-point: give plain weights")
    # A sum is finite if all are, and costs a tenth; one of finite numbers may still overflow.
    if not torch.isfinite(tensor.sum(dtype=torch.float32)) and not torch.isfinite(tensor).all():
        bad = int((~torch.isfinite(tensor)).sum())
        raise InputError(
            f"{file}: {bad:,} of {tensor.numel():,} weights of {name} are NaN or infinite: "
            "the training diverged or the file is broken, take an earlier checkpoint"
        )
