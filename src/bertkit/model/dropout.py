"""Dropout with cheap random bits: 16 a decision, several times as fast on a CPU as torch's one float a decision.

A GPU has bits enough, and torch's own dropout can be compiled into what stands around it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEVELS = 1 << 16


def keep_mask(shape: torch.Size, drop_rate: float, device: torch.device) -> Tensor:
    """Boolean mask, each entry False with probability round(drop_rate * 65536) / 65536.

    The bits come from the device's default generator.
    """
    count = shape.numel()
    words = torch.empty((count + 3) // 4, dtype=torch.int64, device=device)
    words.random_(-(2**63), None)
    bits = words.view(torch.int16)[:count].view(shape)
    return bits >= round(drop_rate * _LEVELS) - _LEVELS // 2


def kept_share(drop_rate: float) -> float:
    """The exact share of entries that `keep_mask` keeps."""
    return 1.0 - round(drop_rate * _LEVELS) / _LEVELS


class Dropout(nn.Module):
    """Zero entries with probability `drop_rate` in training mode and scale the rest to keep the mean."""

    def __init__(self, drop_rate: float) -> None:
        super().__init__()
        self.drop_rate = drop_rate

    def forward(self, x: Tensor) -> Tensor:
        """Apply to a tensor of any shape."""
        if not self.training or self.drop_rate == 0.0:
            return x
        if x.is_cuda:
            return F.dropout(x, self.drop_rate)
        mask = keep_mask(x.shape, self.drop_rate, x.device)
        return x * mask.to(x.dtype).mul_(1.0 / kept_share(self.drop_rate))
