"""int8 layers for the torch backend on a CPU, by oneDNN's integer products (`pretrained.int8` has the arithmetic).

The operators are torch's own for its compiler and may change without a word: `find_weight_range` computes the worst
case with them once, and a test compares them with the reference.
"""
# N rows, I inputs, O outputs.

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from bertkit.core.console import note
from bertkit.core.errors import InputError
from bertkit.core.machine import WeightRange
from bertkit.pretrained.int8 import (
    FULL_RANGE,
    NARROW_RANGE,
    Int8Weight,
    encoder_linears,
    quantize_weight,
)

_PREPARED_FOR = 2048
"""The number of rows that the layout of packed weights is made for; any other works."""
_BLOCK = 128
"""Rows that are quantized, multiplied and scaled while they are in the cache."""
_MIDDLE = 128
"""Between uint8 and int8: torch converts to int8 several times faster."""


class Int8Products:
    """Integer products with weights (O, I) in the layout that the CPU's kernels read."""

    def __init__(self, weight: Int8Weight) -> None:
        self._scales = torch.from_numpy(weight.scales)
        self._zeros = torch.zeros(len(weight.scales), dtype=torch.int32)
        inputs = weight.values.shape[1]
        self._packed = torch.ops.onednn.qlinear_prepack(torch.from_numpy(weight.values), [_PREPARED_FOR, inputs])

    def __call__(self, rows: Tensor) -> Tensor:
        """Int8 (N, I) to float32 (N, O), with the weights' scales."""
        nothing: tuple[float, int, torch.dtype, str, list[float], str] = (1.0, 0, torch.float32, "none", [], "")
        return torch.ops.onednn.qlinear_pointwise(  # type: ignore[no-any-return]
            rows, 1.0, 0, self._packed, self._scales, self._zeros, None, *nothing
        )


class QuantizedLinear(nn.Module):
    """A frozen linear layer: float32 rows are quantized one by one, and multiplied as integers."""

    def __init__(self, weight: Int8Weight, bias: Tensor | None) -> None:
        super().__init__()
        self._products = Int8Products(weight)
        self._column_sums = torch.from_numpy(weight.column_sums.astype(np.float32) * weight.scales)
        self._bias = torch.zeros(len(weight.scales)) if bias is None else bias.detach().float()

    def forward(self, rows: Tensor) -> Tensor:
        """(N, I) to (N, O)."""
        result = rows.new_empty(len(rows), len(self._bias))
        for first in range(0, len(rows), _BLOCK):
            block = rows[first : first + _BLOCK]
            highs, lows = block.amax(1, keepdim=True).clamp_(min=0), block.amin(1, keepdim=True).clamp_(max=0)
            scales = (highs - lows).div_(255).clamp_(min=1e-30)  # (N, 1)
            inverses = scales.reciprocal()
            zero_points = (lows * inverses).neg_().round_().sub_(_MIDDLE)
            values = (block * inverses).round_().add_(zero_points).clamp_(-_MIDDLE, _MIDDLE - 1).to(torch.int8)
            products = self._products(values).sub_(zero_points * self._column_sums).mul_(scales)
            torch.add(products, self._bias, out=result[first : first + _BLOCK])
        return result


@cache
def find_weight_range() -> WeightRange | None:
    """The widest weights whose products this CPU and this build of torch add exactly, None where there are none.

    A sum that saturates does so where all products are largest and of one sign.
    """
    wide, middle = 256, _MIDDLE - 1
    for weight_range in (FULL_RANGE, NARROW_RANGE):
        weight = torch.tensor([[weight_range] * wide, [-weight_range] * wide], dtype=torch.int8)
        rows = torch.tensor([[middle] * wide, [-middle - 1] * wide, [0] * wide], dtype=torch.int8)
        try:
            found = Int8Products(Int8Weight(weight.numpy(), torch.ones(2).numpy()))(rows)
        except (AttributeError, RuntimeError, NotImplementedError):
            return None
        if torch.equal(found, (rows.int() @ weight.int().t()).float()):
            return weight_range
    return None


def exact_weight_range() -> WeightRange:
    """That of `find_weight_range`; raises `InputError` where there is none."""
    found = find_weight_range()
    if found is None:
        raise InputError("torch has no exact int8 products on this CPU: give precision float32, bf16 or auto")
    return found


def find_linear(bert: nn.Module, name: str) -> nn.Linear:
    """The encoder's linear layer of our name, as `encoder_linears` gives it."""
    linear = bert.get_submodule(name.removeprefix("bert."))
    assert isinstance(linear, nn.Linear)
    return linear


def put_linear(bert: nn.Module, name: str, linear: nn.Module) -> None:
    """Set the encoder's linear layer of our name."""
    parent, _, attribute = name.removeprefix("bert.").rpartition(".")
    setattr(bert.get_submodule(parent), attribute, linear)


def replace_linears(bert: nn.Module, stored: Mapping[str, Int8Weight]) -> None:
    """Replace the encoder's linear layers by int8 ones: those of `stored`, or where it is empty all.

    Layers that an int8 folder keeps in float32 stay so. The encoder can then neither be trained nor saved. Raises
    `InputError` where torch has no exact int8 products for this CPU.
    """
    exact = exact_weight_range()
    if exact == NARROW_RANGE:
        note(f"this CPU adds int8 products in 16 bits: weights are narrowed to ±{NARROW_RANGE}, a little less exact")
    for name in encoder_linears(len(bert.get_submodule("layers"))):  # type: ignore[arg-type]
        if stored and name not in stored:
            continue
        linear = find_linear(bert, name)
        if not stored:
            weight = quantize_weight(linear.weight.numpy(force=True), exact)
        else:
            weight = stored[name] if exact == FULL_RANGE else stored[name].narrowed()
        put_linear(bert, name, QuantizedLinear(weight, linear.bias))
