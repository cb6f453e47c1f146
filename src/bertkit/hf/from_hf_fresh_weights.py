"""Weights of modules that no file fills."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import nn

from bertkit.model.initialization import initialize

_WAITING: ContextVar[bool] = ContextVar("weights come from a file", default=False)
_DRAWN = "_bertkit_drawn"


@contextmanager
def weights_from_file() -> Iterator[None]:
    """Leave out drawing weights while a model is built whose weights are read afterwards."""
    token = _WAITING.set(True)
    try:
        yield
    finally:
        _WAITING.reset(token)


def mark_drawn(modules: Iterable[nn.Module]) -> None:
    """Let `draw_weights` pass by these modules."""
    for module in modules:
        setattr(module, _DRAWN, True)


@torch.no_grad()
def draw_weights(model: nn.Module, standard_deviation: float) -> None:
    """Draw the weights of every layer inside that has none yet, seeded by torch's default generator."""
    if _WAITING.get():
        return
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding | nn.LayerNorm) and not getattr(module, _DRAWN, False):
            initialize(module, standard_deviation, seed=int(torch.randint(2**62, ())))
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
            mark_drawn([module])
