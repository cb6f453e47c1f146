"""Rounding of weights to int8 by which the errors of a row make up for each other (Frantar et al. 2022, GPTQ).

Each weight's rounding error is made up for by the weights of its row that are not rounded yet, as far as their inputs
go together. How inputs go together is seen on a few sentences; what those do not show is damped.
"""
# N rows, I inputs, O outputs.

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bertkit.core.machine import WeightRange
from bertkit.inference.backends.torch_int8 import find_linear
from bertkit.pretrained.int8 import Int8Weight, quantize_weight

_DAMPING = 0.1
"""Of the mean of the diagonal, added to it: with few sentences .1 is better than the usual .01."""
_BLOCK = 64
"""Columns after which the errors are carried to all later ones."""


def observe_inputs(bert: nn.Module, names: Iterable[str], run: Callable[[], object]) -> dict[str, Tensor]:
    """Sums of x x' over the inputs x of the linear layers `names` while `run` runs the model: float64 (I, I) each."""
    moments: dict[str, Tensor] = {}

    def add(name: str, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        rows = inputs[0].double()  # (N, I)
        moments[name] = moments.get(name, torch.zeros((), dtype=torch.float64)) + rows.t() @ rows

    hooks = [find_linear(bert, name).register_forward_pre_hook(partial(add, name)) for name in names]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return moments


def round_weight(weight: Tensor, moments: Tensor, weight_range: WeightRange) -> Int8Weight:
    """int8 weights of float32 ones (O, I) for inputs with these `moments` (I, I); scales as in `quantize_weight`."""
    plain = quantize_weight(weight.numpy(force=True), weight_range)
    scales = torch.from_numpy(plain.scales).double()
    inputs = len(moments)
    mean = float(moments.diagonal().mean())
    if not mean > 0:
        return plain
    damped = moments + torch.eye(inputs, dtype=torch.float64) * _DAMPING * mean
    order = damped.diagonal().argsort(descending=True)  # the largest inputs first, while many can make up for them
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped[order][:, order]))
    carried = torch.linalg.cholesky(inverse, upper=True)  # (I, I), row i: what column i's error costs the later ones
    left = weight.detach().double()[:, order].clone()
    rounded = torch.empty_like(left)
    for first in range(0, inputs, _BLOCK):
        last = min(first + _BLOCK, inputs)
        errors = torch.empty(len(left), last - first, dtype=torch.float64)
        for column in range(first, last):
            rounded[:, column] = (left[:, column] / scales).round_().clamp_(-weight_range, weight_range)
            error = (left[:, column] - rounded[:, column] * scales) / carried[column, column]
            left[:, column:last].addr_(error, carried[column, column:last], alpha=-1)
            errors[:, column - first] = error
        left[:, last:].addmm_(errors, carried[first:last, last:], alpha=-1)
    values = torch.empty_like(rounded)
    values[:, order] = rounded
    return Int8Weight(values.to(torch.int8).numpy(), plain.scales)
