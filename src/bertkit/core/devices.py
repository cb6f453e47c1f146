"""Where computation runs and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

from bertkit.foundation.errors import InputError
from bertkit.foundation.precision import Precision

_MICRO_BATCH_TOKENS = {"cpu": 4096, "cuda": 65536}
"""Enough to keep a device busy."""


def default_device() -> torch.device:
    """The first CUDA device where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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


def resolve_micro_batch_tokens(tokens: int | None, device: torch.device) -> int:
    """Turn None into as many as suit the device."""
    return _MICRO_BATCH_TOKENS[device.type] if tokens is None else tokens


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Matrix products in bf16 over float32 weights, or nothing for float32."""
    enabled = resolve_precision(precision, device) == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def seed_torch(key: int) -> None:
    """Start every torch generator of this process from `key`."""
    torch.manual_seed(key & (2**63 - 1))
