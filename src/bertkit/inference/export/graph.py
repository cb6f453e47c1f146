"""A graph under construction: nodes, constants that are read when the file is written, and the file itself."""
# K inputs, N outputs of a matrix.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto, ValueInfoProto, helper

from bertkit import __version__
from bertkit.core.errors import InputError
from bertkit.core.files import atomic_path

OPSET, IR_VERSION = 12, 7
"""Of 2020, and on purpose: ONNX Runtime fuses attention when it loads a graph, but knows its mask only where the axes
of Unsqueeze are an attribute, which is until opset 12. Runtimes old and new read it."""
OPSET_INT8 = 13
"""The first in which every row is quantised with a scale of its own."""

_LARGEST_FILE = 2**31 - 1
"""Protocol buffers hold no more than 2 GB."""
_ALIGNMENT = 64
"""Bytes, of arrays in a file that is mapped."""
_GRAPH_FIELD, _INITIALIZER_FIELD, _RAW_DATA_FIELD = 7, 5, 9
"""Numbers of ModelProto.graph, GraphProto.initializer and TensorProto.raw_data, all three length-delimited."""


@dataclass(frozen=True)
class Constant:
    """An array that is made when it is written, so that no more than one is in memory."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    make: Callable[[], NDArray[Any]]

    def header(self, **more: Any) -> bytes:
        """All of its TensorProto but the data."""
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        proto = TensorProto(dims=self.shape, data_type=kind, name=self.name, **more)
        return proto.SerializeToString()  # type: ignore[no-any-return]

    def external(self, file: str, offset: int) -> bytes:
        """Its TensorProto where the data begins at a byte of another file."""
        places = {"location": file, "offset": str(offset), "length": str(self.size)}
        entries = [StringStringEntryProto(key=key, value=value) for key, value in places.items()]
        return self.header(data_location=TensorProto.EXTERNAL, external_data=entries)

    @property
    def size(self) -> int:
        """Bytes of its data."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def write(self, file: BinaryIO) -> None:
        """Write its data."""
        array = np.asarray(self.make(), self.dtype, order="C")
        assert array.shape == self.shape, f"{self.name} is {array.shape}, not {self.shape}"
        file.write(array.reshape(-1).view(np.uint8).data)


@dataclass
class Graph:
    """Values are known by their names; a method that adds nodes returns the name of what they compute."""

    opset: int = OPSET
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, Constant] = field(default_factory=dict)
    inputs: list[ValueInfoProto] = field(default_factory=list)
    outputs: list[ValueInfoProto] = field(default_factory=list)
    shapes: list[ValueInfoProto] = field(default_factory=list)

    def node(self, kind: str, *inputs: str, name: str, **attributes: Any) -> str:
        """Add an operator with one output, called as the node."""
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def over(self, kind: str, value: str, axis: int, *, name: str, **attributes: Any) -> str:
        """Add an Unsqueeze, Squeeze or ReduceSum over an axis, an attribute until opset 12 and an input since."""
        if self.opset <= OPSET:
            return self.node(kind, value, name=name, axes=[axis], **attributes)
        return self.node(kind, value, self.constant(f"axis.{axis}", [axis], np.int64), name=name, **attributes)

    def length(self, value: str, axis: int, *, name: str) -> str:
        """How long an axis is: int64 (1,)."""
        shape = self.node("Shape", value, name=f"{name}/Shape")
        return self.node("Gather", shape, self.constant(f"places.{axis}", [axis], np.int64), name=f"{name}/Gather")

    def split(self, value: str, count: int, *, name: str, axis: int = -1) -> list[str]:
        """Equal parts of an axis."""
        parts = [f"{name}.{part}" for part in range(count)]
        self.nodes.append(helper.make_node("Split", [value], parts, name, axis=axis))
        return parts

    def lazy(self, name: str, shape: Sequence[int], make: Callable[[], NDArray[Any]], dtype: Any = np.float32) -> str:
        """Add a constant that is made when the file is written."""
        self.constants.setdefault(name, Constant(name, tuple(shape), np.dtype(dtype), make))
        return name

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """Add a small constant; one of that name is there only once."""
        array = np.asarray(value, dtype)
        return self.lazy(name, array.shape, lambda: array, dtype)

    def input(self, name: str, axes: Sequence[str | int], kind: int = TensorProto.INT64) -> str:
        """Add an input whose axes have names where they are dynamic."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(axes)))
        return name

    def shape(self, value: str, axes: Sequence[str | int]) -> str:
        """Say what a runtime cannot find out by itself: fusions ask that two shapes be the same."""
        self.shapes.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, list(axes)))
        return value

    def output(self, name: str, value: str, axes: Sequence[str | int]) -> None:
        """Give a value out under a name."""
        self.nodes.append(helper.make_node("Identity", [value], [name], f"output/{name}"))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(axes)))

    def write(self, path: Path) -> None:
        """Write one file, whole or not at all; raise `InputError` where it cannot hold the graph."""
        graph = self._without_constants().SerializeToString()
        headers = {name: constant.header() for name, constant in self.constants.items()}
        tensors = {name: len(header) + _field_size(self.constants[name].size) for name, header in headers.items()}
        size = len(graph) + sum(_field_size(length) for length in tensors.values())
        if size > _LARGEST_FILE:
            raise InputError(
                f"{path} would have {size / 2**30:.1f} GB and an ONNX file holds 2 GB at most: export with "
                "--precision int8"
            )
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            file.write(self._model().SerializeToString())
            _start_field(file, _GRAPH_FIELD, size)
            file.write(graph)
            for name, header in headers.items():
                constant = self.constants[name]
                _start_field(file, _INITIALIZER_FIELD, tensors[name])
                file.write(header)
                _start_field(file, _RAW_DATA_FIELD, constant.size)
                constant.write(file)

    def write_in_two(self, path: Path, data: Path) -> None:
        """Write the graph to `path` and what the constants hold to `data` beside it, which readers can map."""
        model, graph = self._model(), self._without_constants()
        with data.open("wb") as file:
            for constant in self.constants.values():
                graph.initializer.add().ParseFromString(constant.external(data.name, file.tell()))
                constant.write(file)
                file.write(b"\0" * (-file.tell() % _ALIGNMENT))
        model.graph.CopyFrom(graph)
        path.write_bytes(model.SerializeToString())

    def _model(self) -> ModelProto:
        """The file's head."""
        model = ModelProto(ir_version=IR_VERSION, producer_name="bertkit", producer_version=__version__)
        model.opset_import.append(helper.make_opsetid("", self.opset))
        return model

    def _without_constants(self) -> GraphProto:
        return GraphProto(
            node=self.nodes, name="bertkit", input=self.inputs, output=self.outputs, value_info=self.shapes
        )


def _varint(value: int) -> bytes:
    """A whole number in seven bits a byte, the lowest first, as protocol buffers write it."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes((*found, value))


def _start_field(file: BinaryIO, number: int, length: int) -> None:
    file.write(_varint(number << 3 | 2) + _varint(length))


def _field_size(length: int) -> int:
    """Bytes of a length-delimited field whose number is below 16."""
    return 1 + len(_varint(length)) + length
