"""Random weights as the original draws them (google-research/bert, modeling.py: create_initializer)."""

from __future__ import annotations

import torch
from torch import nn

from bertkit.foundation.randomness import derive_key


def initialize(module: nn.Module, standard_deviation: float, seed: int) -> None:
    """Matrices from a normal distribution truncated at two deviations, biases 0, LayerNorm 1 and 0.

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
