"""int8 weights: the arithmetic that every backend computes, its reference in NumPy, and the file; free of torch.

An int8 layer is a linear layer of the encoder: query, key and value, the attention's output, and both matrices of the
feed-forward network. Embeddings, norms, biases, pooler and heads stay float32. For a row of activations x (I,) and the
weights W (O, I) of such a layer, with q(x) uint8 and q(W) int8:

    y[o] = x_scale * w_scale[o] * (sum_i q(x)[i] * q(W)[o, i] - x_zero * sum_i q(W)[o, i]) + bias[o]

The sums are exact int32. Scale and zero point of a row come from its own least and largest value, so that no text's
result depends on its neighbours in a batch.

`model.int8.safetensors` takes the place of `model.safetensors`, so that programs that know no int8 refuse the folder
instead of misreading it. Under Hugging Face's names it has, for every int8 layer `NAME`, `NAME.weight_int8` int8 (O, I)
and `NAME.weight_scale` float32 (O,), and every other tensor in float32 as `model.safetensors` has it. `config.json`
holds `Int8Settings` under `bertkit_int8`, a key that Transformers ignores.
"""
# N rows, I inputs, O outputs.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from bertkit.core.errors import InputError
from bertkit.core.files import atomic_path
from bertkit.core.machine import WeightRange

INT8_FILE = "model.int8.safetensors"
INT8_KEY = "bertkit_int8"
"""In `config.json`."""
_INTEGERS, _SCALE = ".weight_int8", ".weight_scale"
_ENCODER_LINEARS = ("attention.query_key_value", "attention.output", "intermediate", "output")

FULL_RANGE: WeightRange = 127
NARROW_RANGE: WeightRange = 63
"""Largest magnitude of a weight where a CPU adds two products of uint8 and int8 in 16 bits, as AVX2 does without VNNI:
2 * 255 * 63 fits, 2 * 255 * 127 saturates in silence."""
_TOP = 255
_LEAST_SCALE = np.float32(1e-30)
"""Of a row, so that rows of zeros have a scale too, and its inverse is finite."""


def encoder_linears(num_layers: int) -> tuple[str, ...]:
    """Our names of the layers that can be int8, in the order of the computation."""
    return tuple(f"bert.layers.{depth}.{part}" for depth in range(num_layers) for part in _ENCODER_LINEARS)


@dataclass(frozen=True, eq=False)
class Int8Weight:
    """The weights of a linear layer: float32 ones are about `values * scales[:, None]`."""

    values: NDArray[np.int8]
    """(O, I)"""
    scales: NDArray[np.float32]
    """(O,)"""

    @property
    def column_sums(self) -> NDArray[np.int32]:
        """What the zero point of a row is multiplied with (O,)."""
        sums: NDArray[np.int32] = self.values.sum(axis=1, dtype=np.int32)
        return sums

    @property
    def weight_range(self) -> WeightRange:
        """The narrowest that holds the integers."""
        largest = max(self.values.max(initial=0), -int(self.values.min(initial=0)))
        return NARROW_RANGE if largest <= NARROW_RANGE else FULL_RANGE

    def split(self, parts: int) -> list[Int8Weight]:
        """As many layers of the same number of outputs: the inverse of `join_weights`."""
        pairs = zip(np.split(self.values, parts), np.split(self.scales, parts), strict=True)
        return [Int8Weight(values, scales) for values, scales in pairs]

    def dequantized(self) -> NDArray[np.float32]:
        """(O, I) in float32."""
        return self.values * self.scales[:, None]

    def narrowed(self) -> Int8Weight:
        """The same with integers of at most `NARROW_RANGE`; a weight moves by up to half of the wider step."""
        return self if self.weight_range == NARROW_RANGE else quantize_weight(self.dequantized(), NARROW_RANGE)


def quantize_weight(weight: NDArray[np.float32], weight_range: WeightRange = FULL_RANGE) -> Int8Weight:
    """Symmetric, one scale per output channel, from weights (O, I): the largest becomes `weight_range`."""
    peaks = np.abs(weight).max(axis=1, initial=0.0)
    scales = np.where(peaks > 0, peaks / weight_range, 1.0).astype(np.float32)
    return Int8Weight(np.rint(weight / scales[:, None]).clip(-weight_range, weight_range).astype(np.int8), scales)


def join_weights(parts: Sequence[Int8Weight]) -> Int8Weight:
    """Layers that read the same rows, as one: query, key and value."""
    return Int8Weight(np.concatenate([part.values for part in parts]), np.concatenate([part.scales for part in parts]))


@dataclass(frozen=True, eq=False)
class Int8Rows:
    """Activations: float32 ones are about `(values - zero_points[:, None]) * scales[:, None]`."""

    values: NDArray[np.uint8]
    """(N, I)"""
    scales: NDArray[np.float32]
    """(N,)"""
    zero_points: NDArray[np.int32]
    """(N,), in 0 to 255"""


def quantize_rows(rows: NDArray[np.float32]) -> Int8Rows:
    """Each row (I,) of (N, I) by its own range, widened to hold 0."""
    lows, highs = rows.min(axis=1, initial=0.0), rows.max(axis=1, initial=0.0)
    scales = np.maximum((highs - lows) / np.float32(_TOP), _LEAST_SCALE)
    inverses = np.float32(1) / scales
    zero_points = np.rint(-lows * inverses).astype(np.int32)
    values = np.rint(rows * inverses[:, None]) + zero_points[:, None]
    return Int8Rows(values.clip(0, _TOP).astype(np.uint8), scales, zero_points)


def int8_linear(
    rows: NDArray[np.float32], weight: Int8Weight, bias: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """(N, I) to (N, O): the reference of every backend's int8 layer."""
    given = quantize_rows(rows)
    products = given.values.astype(np.int32) @ weight.values.T.astype(np.int32)
    products -= given.zero_points[:, None] * weight.column_sums
    result = products.astype(np.float32) * given.scales[:, None] * weight.scales
    return result if bias is None else result + bias


@dataclass(frozen=True, kw_only=True)
class Int8Settings:
    """What `config.json` says of an int8 folder."""

    int8_layers: tuple[str, ...]
    """Hugging Face's names of modules; query, key and value of one layer are of one kind."""
    float32_layers: tuple[str, ...] = ()
    """Those that could be int8 and were kept since they lose too much."""
    weight_range: WeightRange = FULL_RANGE

    def describe(self) -> dict[str, Any]:
        """The value of `INT8_KEY`."""
        return {
            "bits": 8,
            "weights": "symmetric, one scale per output channel",
            "activations": "asymmetric uint8, scale and zero point per token",
            "weight_range": self.weight_range,
            "int8_layers": list(self.int8_layers),
            "float32_layers": list(self.float32_layers),
        }

    @classmethod
    def read(cls, content: Mapping[str, Any], path: Path) -> Int8Settings:
        """From the whole content of the `config.json` at `path`; raises `InputError` for what bertkit did not write."""
        found = content.get(INT8_KEY)
        if not isinstance(found, dict):
            raise InputError(f"{path} has no {INT8_KEY} though {INT8_FILE} is beside it: copy the whole folder again")
        layers, kept, weight_range = (found.get(key) for key in ("int8_layers", "float32_layers", "weight_range"))
        if found.get("bits") != 8 or weight_range not in (FULL_RANGE, NARROW_RANGE):
            raise InputError(
                f"{path}: {INT8_KEY} has bits {found.get('bits')!r} and weight_range {weight_range!r}: this version "
                f"reads 8 with {FULL_RANGE} or {NARROW_RANGE}, quantize the model again"
            )
        for key, names in (("int8_layers", layers), ("float32_layers", kept)):
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise InputError(f"{path}: {INT8_KEY}.{key} is no list of names: quantize the model again")
        return cls(int8_layers=tuple(layers or ()), float32_layers=tuple(kept or ()), weight_range=weight_range)


@dataclass(frozen=True, eq=False)
class Int8Tensors:
    """All that `model.int8.safetensors` holds."""

    weights: Mapping[str, Int8Weight]
    """By Hugging Face's names of modules."""
    others: Mapping[str, NDArray[np.float32]]
    """By Hugging Face's names of tensors."""

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        tensors: dict[str, NDArray[Any]] = {name: np.ascontiguousarray(tensor) for name, tensor in self.others.items()}
        for name, weight in self.weights.items():
            tensors[name + _INTEGERS] = np.ascontiguousarray(weight.values)
            tensors[name + _SCALE] = weight.scales
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={"format": "bertkit-int8"})

    @classmethod
    def read(cls, path: Path) -> Int8Tensors:
        """Read the file; raises `InputError` where it is broken."""
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{path} is not a whole safetensors file ({reason}): copy it again") from None
        weights = {}
        for name in [name for name in tensors if name.endswith(_INTEGERS)]:
            module = name.removesuffix(_INTEGERS)
            values, scales = tensors.pop(name), tensors.pop(module + _SCALE, None)
            if scales is None or values.ndim != 2 or values.dtype != np.int8 or scales.shape != values.shape[:1]:
                raise InputError(
                    f"{path}: {name} is no int8 matrix with {module}{_SCALE} of one number a row: quantize again"
                )
            weights[module] = Int8Weight(values, scales.astype(np.float32))
        return cls(weights, tensors)

    def dequantized(self) -> dict[str, NDArray[np.float32]]:
        """Every tensor in float32 under the name that `model.safetensors` would have."""
        return dict(self.others) | {f"{name}.weight": weight.dequantized() for name, weight in self.weights.items()}


def quantize_tensors(
    tensors: Mapping[str, NDArray[np.float32]], layers: Sequence[str], weight_range: WeightRange = FULL_RANGE
) -> Int8Tensors:
    """A model's float32 tensors with the weights of `layers`, Hugging Face's names of modules, in int8."""
    weights = {name: quantize_weight(tensors[f"{name}.weight"], weight_range) for name in layers}
    chosen = {f"{name}.weight" for name in layers}
    return Int8Tensors(weights, {name: tensor for name, tensor in tensors.items() if name not in chosen})
