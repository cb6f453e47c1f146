"""Dropout with cheap random bits: 16 a decision instead of one float, about six times as fast on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEVELS = 1 << 16


@torch.library.custom_op("bertkit::keep_mask", mutates_args=())
def keep_mask(like: Tensor, drop_rate: float) -> Tensor:
    """Boolean mask of `like`'s shape, each entry False with probability round(drop_rate * 65536) / 65536.

    The bits come from the device's default generator.
    """
    if like.device.type != "cpu":
        return torch.rand(like.shape, device=like.device) >= drop_rate
    words = torch.empty((like.numel() + 3) // 4, dtype=torch.int64)
    words.random_(-(2**63), None)
    bits = words.view(torch.int16)[: like.numel()].view(like.shape)
    return bits >= round(drop_rate * _LEVELS) - _LEVELS // 2


@keep_mask.register_fake
def _(like: Tensor, drop_rate: float) -> Tensor:
    return torch.empty(like.shape, dtype=torch.bool, device=like.device)


def dropout(x: Tensor, drop_rate: float, training: bool) -> Tensor:
    """Zero entries of `x` with probability `drop_rate` and scale the rest to keep the mean."""
    if not training or drop_rate == 0.0:
        return x
    kept = 1.0 - round(drop_rate * _LEVELS) / _LEVELS
    return x * (keep_mask(x, drop_rate) * (1.0 / kept))


class Dropout(nn.Module):
    """Module form of `dropout`."""

    def __init__(self, drop_rate: float) -> None:
        super().__init__()
        self.drop_rate = drop_rate

    def forward(self, x: Tensor) -> Tensor:
        """Apply dropout in training mode."""
        return dropout(x, self.drop_rate, self.training)
