"""What layers are made of, as the patterns of operators that ONNX Runtime and OpenVINO know and fuse."""
# R rows, S sequence, H hidden, K inputs, N outputs.

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bertkit.inference.export.graph import Graph

Activation = Literal["gelu", "gelu_new", "tanh", "relu"]
Part = tuple[int, int]
"""Which of how many equal parts of a matrix's outputs."""
_CUBIC = 0.044715
"""Of GELU's tanh form (Hendrycks and Gimpel 2016, section 2)."""


class Weights(Protocol):
    """A folder's tensors under our names."""

    def __contains__(self, name: str) -> bool: ...

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor that is there."""

    def read(self, name: str) -> NDArray[np.float32]:
        """The tensor in float32."""


class Operators:
    """Layers over a folder's weights, in float32."""

    def __init__(self, graph: Graph, weights: Weights) -> None:
        self.graph, self.weights = graph, weights

    def linear(self, rows: str, module: str, *, name: str, part: Part = (0, 1)) -> str:
        """(..., K) to (..., N) by `module`'s matrix and bias if it has one, or by a `part` of so many equal ones.

        Bias and matrix product are two operators, as the fusions want them.
        """
        product = self.product(rows, module, name=name, part=part)
        return self.add_bias(product, module, name=name, part=part)

    def heads(self, rows: str, module: str, heads: int, size: int, *, name: str) -> tuple[str, str, str]:
        """(B, S, H) to queries, keys and values of all heads, each (B, A, S, D).

        By three products of one input and one transposition each, as the fusions of attention want them.
        """
        graph, shape = self.graph, self.graph.constant("heads", [0, 0, heads, size], np.int64)

        def project(index: int, what: str) -> str:
            projected = self.linear(rows, module, name=f"{name}/{what}", part=(index, 3))
            split = graph.node("Reshape", projected, shape, name=f"{name}/{what}/Reshape")
            return graph.node("Transpose", split, name=f"{name}/{what}/Transpose", perm=[0, 2, 1, 3])

        return project(0, "query"), project(1, "key"), project(2, "value")

    def product(self, rows: str, module: str, *, name: str, part: Part = (0, 1)) -> str:
        """The matrix product of `linear`."""
        return self.graph.node("MatMul", rows, self.matrix(module, part), name=f"{name}/MatMul")

    def add_bias(self, product: str, module: str, *, name: str, part: Part = (0, 1)) -> str:
        """The bias of `linear`, where there is one."""
        weight = f"{module}.bias"
        if weight not in self.weights:
            return product
        size = self.weights.shape(weight)[0] // part[1]
        bias = self.graph.lazy(
            part_name(weight, part), (size,), lambda: self.weights.read(weight)[part[0] * size :][:size]
        )
        return self.graph.node("Add", product, bias, name=f"{name}/Add")

    def matrix(self, module: str, part: Part = (0, 1)) -> str:
        """The matrix of `linear` (K, N)."""
        weight = f"{module}.weight"
        outputs, inputs = self.weights.shape(weight)
        size = outputs // part[1]
        return self.graph.lazy(
            part_name(weight, part), (inputs, size), lambda: self.weights.read(weight)[part[0] * size :][:size].T
        )

    def norm(self, rows: str, module: str, epsilon: float, *, name: str) -> str:
        """LayerNorm over the last axis, with a bias of 0 where there is none, as the fusions ask for one."""
        graph, size = self.graph, self.weights.shape(f"{module}.weight")[0]
        has_bias = f"{module}.bias" in self.weights
        bias = self.tensor(f"{module}.bias") if has_bias else graph.constant(f"zeros.{size}", np.zeros(size))
        mean = graph.node("ReduceMean", rows, name=f"{name}/ReduceMean", axes=[-1])
        centred = graph.node("Sub", rows, mean, name=f"{name}/Sub")
        square = graph.node("Pow", centred, graph.constant("two", 2.0), name=f"{name}/Pow")
        variance = graph.node("ReduceMean", square, name=f"{name}/ReduceMean_variance", axes=[-1])
        variance = graph.node(
            "Add", variance, graph.constant(f"epsilon.{epsilon}", epsilon), name=f"{name}/Add_epsilon"
        )
        scaled = graph.node("Div", centred, graph.node("Sqrt", variance, name=f"{name}/Sqrt"), name=f"{name}/Div")
        scaled = graph.node("Mul", scaled, self.tensor(f"{module}.weight"), name=f"{name}/Mul")
        return graph.node("Add", scaled, bias, name=f"{name}/Add")

    def tensor(self, name: str) -> str:
        """A tensor as it is stored."""
        return self.graph.lazy(name, self.weights.shape(name), lambda: self.weights.read(name))

    def activation(self, rows: str, kind: str, *, name: str) -> str:
        """GELU in its two forms, tanh or ReLU."""
        graph = self.graph
        if kind in _PLAIN:
            return graph.node(_PLAIN[kind], rows, name=f"{name}/{_PLAIN[kind]}")
        half, one = graph.constant("half", 0.5), graph.constant("one", 1.0)
        if kind == "gelu":
            scaled = graph.node("Div", rows, graph.constant("root_2", math.sqrt(2)), name=f"{name}/Div")
            curve = graph.node("Erf", scaled, name=f"{name}/Erf")
        else:
            cube = graph.node("Pow", rows, graph.constant("three", 3.0), name=f"{name}/Pow")
            cube = graph.node("Mul", cube, graph.constant("cubic", _CUBIC), name=f"{name}/Mul_cubic")
            total = graph.node("Add", rows, cube, name=f"{name}/Add_cubic")
            scaled = graph.node(
                "Mul", total, graph.constant("root_2_pi", math.sqrt(2 / math.pi)), name=f"{name}/Mul_pi"
            )
            curve = graph.node("Tanh", scaled, name=f"{name}/Tanh")
        raised = graph.node("Add", curve, one, name=f"{name}/Add_one")
        if kind == "gelu":
            return graph.node("Mul", graph.node("Mul", rows, raised, name=f"{name}/Mul"), half, name=f"{name}/Mul_half")
        halved = graph.node("Mul", rows, half, name=f"{name}/Mul_half")
        return graph.node("Mul", halved, raised, name=f"{name}/Mul")


_PLAIN: Mapping[str, str] = {"tanh": "Tanh", "relu": "Relu"}


def part_name(weight: str, part: Part) -> str:
    """Name of a part of a tensor."""
    return weight if part[1] == 1 else f"{weight}.{part[0]}"
