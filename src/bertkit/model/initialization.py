"""Weights before training."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bertkit.foundation.randomness import derive_key


def initialize(module: nn.Module, standard_deviation: float, seed: int) -> None:
    """Matrices from a normal distribution truncated at two deviations, biases 0, LayerNorm 1 and 0.

    As the original draws them (google-research/bert, modeling.py: create_initializer).

    Every tensor has its own stream, named after it, so adding a head changes no other tensor.
    """
    for name, child in module.named_modules():
        if isinstance(child, nn.Linear | nn.Embedding):
            generator = torch.Generator().manual_seed(derive_key(seed, "initialize", name) >> 1)
            limit = 2 * standard_deviation
            nn.init.trunc_normal_(child.weight, 0.0, standard_deviation, -limit, limit, generator=generator)
        if isinstance(child, nn.Linear) and child.bias is not None:
            nn.init.zeros_(child.bias)
        if isinstance(child, nn.LayerNorm):
            nn.init.ones_(child.weight)
            nn.init.zeros_(child.bias)


@torch.no_grad()
def set_sinusoidal_positions(position_embeddings: Tensor, standard_deviation: float) -> None:
    """Fill a position table (P, H), H even, with sines and cosines (Vaswani et al. 2017, section 3.5).

    The table is learned from there. With random rows, attention to a neighbour has to be learned for every position
    apart; with these a shift is one rotation for all, and little text is enough to learn it.
    """
    positions, width = position_embeddings.shape
    frequencies = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(positions)[:, None] * frequencies  # (P, H / 2)
    amplitude = standard_deviation * math.sqrt(2)
    position_embeddings[:, 0::2] = amplitude * torch.sin(angles)
    position_embeddings[:, 1::2] = amplitude * torch.cos(angles)
