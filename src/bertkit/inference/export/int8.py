"""Linear layers in int8 in plain ONNX operators, with the arithmetic of `bertkit.pretrained.int8`.

Every row has a scale of its own, so that a text's result does not depend on its neighbours; ONNX's own
DynamicQuantizeLinear takes one scale for the whole batch.
"""
# B sequences, S the longest, R = B * S rows, K inputs, N outputs, A heads, D head size.

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from bertkit.core.machine import WeightRange
from bertkit.inference.export.graph import Graph
from bertkit.inference.export.operators import Operators, Part, Weights, part_name
from bertkit.pretrained.int8 import FULL_RANGE, NARROW_RANGE, Int8Weight, encoder_linears, quantize_weight

_STEPS = 255.0
_LEAST_SCALE = 1e-30
"""Of a row of zeros."""


class Int8Operators(Operators):
    """Products of uint8 rows and int8 weights where a layer is int8, float32 elsewhere."""

    def __init__(
        self,
        graph: Graph,
        weights: Weights,
        stored: Mapping[str, Int8Weight],
        num_layers: int,
        weight_range: WeightRange = FULL_RANGE,
    ) -> None:
        """Take the `stored` int8 layers of a folder, or quantise all that can be where there are none."""
        super().__init__(graph, weights)
        self._stored, self._range = stored, weight_range
        self._layers = frozenset(stored or encoder_linears(num_layers))
        self._weight = lru_cache(maxsize=1)(self._int8_weight)
        self._rows: dict[str, tuple[str, str, str]] = {}
        self._shapes: dict[str, str] = {}
        self._ones: str | None = None

    def linear(self, rows: str, module: str, *, name: str, part: Part = (0, 1)) -> str:
        """As in float32, (B, S, K) to (B, S, N)."""
        if module not in self._layers:
            return super().linear(rows, module, name=name, part=part)
        graph, weight = self.graph, f"{module}.weight"
        outputs, inputs = self.weights.shape(weight)
        size = outputs // part[1]
        span = slice(part[0] * size, (part[0] + 1) * size)
        stored = part_name(weight, part)
        matrix = graph.lazy(f"{stored}.int8", (inputs, size), lambda: self._weight(module).values[span].T, np.int8)
        scale = graph.lazy(f"{stored}.scale", (size,), lambda: self._weight(module).scales[span])
        terms = graph.lazy(f"{stored}.terms", (2, size), lambda: self._terms(module, span))

        quantized, row_scale, row_terms = self._rows_of(rows, inputs)
        product = graph.node("MatMulInteger", quantized, matrix, name=f"{name}/MatMulInteger")
        product = graph.node("Cast", product, name=f"{name}/Cast", to=TensorProto.FLOAT)
        product = graph.node("Mul", product, scale, name=f"{name}/Mul_scale")
        product = graph.node("Mul", product, row_scale, name=f"{name}/Mul_row_scale")
        added = graph.node("MatMul", row_terms, terms, name=f"{name}/MatMul_terms")
        result = graph.node("Add", product, added, name=f"{name}/Add")
        return graph.node("Reshape", result, self._shape(rows, size), name=f"{name}/Reshape_rows")

    def heads(self, rows: str, module: str, heads: int, size: int, *, name: str) -> tuple[str, str, str]:
        """As in float32, in int8 by one product."""
        if module not in self._layers:
            return super().heads(rows, module, heads, size, name=name)
        graph = self.graph
        projected = self.linear(rows, module, name=f"{name}/query_key_value")
        shape = graph.constant("all_heads", [0, 0, 3 * heads, size], np.int64)
        split = graph.node("Reshape", projected, shape, name=f"{name}/Reshape_heads")
        split = graph.node("Transpose", split, name=f"{name}/Transpose_heads", perm=[0, 2, 1, 3])  # (B, 3 A, S, D)
        query, key, value = graph.split(split, 3, name=f"{name}/Split_heads", axis=1)
        return query, key, value

    def _rows_of(self, rows: str, width: int) -> tuple[str, str, str]:
        """Rows in uint8 (R, K), their scales (R, 1), and what their zero points take off beside a 1 (R, 2)."""
        if rows in self._rows:
            return self._rows[rows]
        graph, name, zero = self.graph, f"{rows}/int8", self.graph.constant("nothing", 0.0)
        shape = graph.constant(f"rows.{width}", [-1, width], np.int64)
        flat = graph.node("Reshape", rows, shape, name=f"{name}/Reshape")
        high = graph.node("ReduceMax", flat, name=f"{name}/ReduceMax", axes=[1], keepdims=0)
        low = graph.node("ReduceMin", flat, name=f"{name}/ReduceMin", axes=[1], keepdims=0)
        high = graph.node("Max", high, zero, name=f"{name}/Max")
        low = graph.node("Min", low, zero, name=f"{name}/Min")
        spread = graph.node("Sub", high, low, name=f"{name}/Sub")
        scale = graph.node("Div", spread, graph.constant("steps", _STEPS), name=f"{name}/Div")
        scale = graph.node("Max", scale, graph.constant("least_scale", _LEAST_SCALE), name=f"{name}/Max_scale")
        below = graph.node("Neg", low, name=f"{name}/Neg")
        point = graph.node("QuantizeLinear", below, scale, name=f"{name}/QuantizeLinear_zero", axis=0)
        quantized = graph.node("QuantizeLinear", flat, scale, point, name=f"{name}/QuantizeLinear", axis=0)
        term = graph.node("Cast", point, name=f"{name}/Cast", to=TensorProto.FLOAT)
        term = graph.over(
            "Unsqueeze", graph.node("Mul", term, scale, name=f"{name}/Mul"), 1, name=f"{name}/Unsqueeze_zero"
        )
        column = graph.over("Unsqueeze", scale, 1, name=f"{name}/Unsqueeze")
        if self._ones is None:  # the same rows in every layer
            self._ones = graph.node("Div", column, column, name="ones")
        terms = graph.node("Concat", term, self._ones, name=f"{name}/Concat", axis=1)
        self._rows[rows] = quantized, column, terms
        return self._rows[rows]

    def _shape(self, rows: str, size: int) -> str:
        """(B, S, N), of rows (B, S, K)."""
        graph, name = self.graph, f"shape/{size}"
        if name not in self._shapes:
            sizes = [graph.length(rows, axis, name=f"{name}/{axis}") for axis in (0, 1)]
            sizes.append(graph.constant(f"size.{size}", [size], np.int64))
            self._shapes[name] = graph.node("Concat", *sizes, name=name, axis=0)
        return self._shapes[name]

    def _terms(self, module: str, span: slice) -> NDArray[np.float32]:
        """What a row's zero point takes off its products, and the bias: (2, N)."""
        weight, bias = self._weight(module), f"{module}.bias"
        sums = -weight.column_sums[span] * weight.scales[span]
        added = self.weights.read(bias)[span] if bias in self.weights else np.zeros_like(sums)
        return np.stack((sums, added)).astype(np.float32)

    def _int8_weight(self, module: str) -> Int8Weight:
        if module not in self._stored:
            return quantize_weight(self.weights.read(f"{module}.weight"), self._range)
        weight = self._stored[module]
        return weight.narrowed() if self._range == NARROW_RANGE else weight
