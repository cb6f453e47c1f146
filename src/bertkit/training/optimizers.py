"""The optimisers by the names that options have for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from bertkit.training.adamw import AdamW
from bertkit.training.lamb import Lamb
from bertkit.training.optimizer import Optimizer
from bertkit.training.options import OptimizerName, OptimizerOptions
from bertkit.training.pace import Pace
from bertkit.training.stable_adamw import StableAdamW

_OPTIMIZERS: dict[OptimizerName, type[Optimizer]] = {"adamw": AdamW, "lamb": Lamb, "stable-adamw": StableAdamW}


def new_optimizer(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    options: OptimizerOptions,
    paces: Mapping[str, Pace] | None = None,
) -> Optimizer:
    """The optimiser that `options` name, for the parameters that need a gradient."""
    return _OPTIMIZERS[options.optimizer](named_parameters, options, paces)
