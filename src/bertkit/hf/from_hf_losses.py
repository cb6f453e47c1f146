"""Losses as Transformers takes them, in float32 where the logits are less."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED = -100
"""The label of places that do not count."""


def cross_entropy(logits: Tensor, labels: Tensor, ignored: int = IGNORED) -> Tensor:
    """The mean over labels (N,) other than `ignored`, of logits (N, C); in their type, or float32 under autocast."""
    loss = F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels, ignore_index=ignored)
    return loss if torch.is_autocast_enabled(logits.device.type) else loss.to(logits.dtype)
