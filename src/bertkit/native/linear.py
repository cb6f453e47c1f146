"""Linear layers and LayerNorm with weights packed for the CPU: the parts of encoders and of heads."""
# R rows, N outputs, K inputs.

from __future__ import annotations

import ctypes
import weakref
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import ResourceError
from bertkit.native.library import ACTIVATIONS, KINDS, Kind, LinearStruct, NormStruct, load_library

_PANEL = 32
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Int8Weights:
    """Weights that were quantised before: `codes` int8 (N, K), and the float32 `scales` (N,) that they stand for."""

    codes: NDArray[np.int8]
    scales: Floats


def address(array: NDArray[np.generic] | None) -> int | None:
    """Where an array starts, None for none."""
    return None if array is None else array.ctypes.data


def padded(vector: NDArray[np.generic] | None) -> Floats | None:
    """float32, with zeros up to whole panels."""
    if vector is None:
        return None
    result = np.zeros(-(-len(vector) // _PANEL) * _PANEL, np.float32)
    result[: len(vector)] = vector
    return result


def _aligned(size: int) -> NDArray[np.uint8]:
    """Zeros that start at a cache line."""
    room = np.zeros(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size]


def release_late(owner: object, *kept: object) -> None:
    """Give back the memory of `owner`, who is called with helpers, once no helper is left that may read it.

    A helper thread that the system took off its core returns after the call that it helped.
    """
    weakref.finalize(owner, _wait_for_helpers, *kept)


def _wait_for_helpers(*kept: object) -> None:
    load_library().bertkit_wait_for_helpers()


class PackedLinear:
    """y = activation(x W^T + b), with W packed as `kind`; int8 quantises every row of x by its own range."""

    def __init__(
        self,
        weight: Floats | Int8Weights,
        bias: Floats | None,
        kind: Kind,
        isa: int,
        activation: str | None = None,
    ) -> None:
        library = load_library()
        codes = weight.codes if isinstance(weight, Int8Weights) else weight
        outputs, inputs = codes.shape
        most = library.bertkit_most_weight(isa)
        self._isa, self.inputs = isa, inputs
        self.outputs = outputs // 2 if activation in ("geglu", "geglu_new") else outputs
        self._bias = padded(bias)
        self._panels = _aligned(library.bertkit_panel_bytes(outputs, inputs, KINDS[kind]))
        wide = -(-outputs // _PANEL) * _PANEL if kind == "int8" else 0
        self._scales, self._sums = np.zeros(wide, np.float32), np.zeros(wide, np.int32)
        made = (self._panels.ctypes.data, self._scales.ctypes.data, self._sums.ctypes.data)
        if isinstance(weight, Int8Weights):
            assert kind == "int8"
            codes, scales = np.ascontiguousarray(codes, np.int8), np.ascontiguousarray(weight.scales, np.float32)
            library.bertkit_pack_codes(codes.ctypes.data, scales.ctypes.data, outputs, inputs, most, *made)
        else:
            floats = np.ascontiguousarray(weight, np.float32)
            library.bertkit_pack(floats.ctypes.data, outputs, inputs, KINDS[kind], most, *made)
        self.struct = LinearStruct(
            self._panels.ctypes.data,
            address(self._bias),
            self._scales.ctypes.data,
            self._sums.ctypes.data,
            inputs,
            outputs,
            KINDS[kind],
            ACTIVATIONS[activation],
        )
        release_late(self, self._panels, self._bias, self._scales, self._sums)

    def __call__(self, rows: Floats, threads: int = 1) -> Floats:
        """(R, K) to (R, N)."""
        rows = np.ascontiguousarray(rows, np.float32)
        assert rows.ndim == 2 and rows.shape[1] == self.inputs
        out = np.empty((len(rows), self.outputs), np.float32)
        failed = load_library().bertkit_linear(
            ctypes.addressof(self.struct), self._isa, rows.ctypes.data, len(rows), out.ctypes.data, threads
        )
        if failed:
            raise ResourceError(f"no memory for {len(rows):,} rows of {self.outputs:,} outputs: give smaller batches")
        return out


class PackedNorm:
    """LayerNorm of rows."""

    def __init__(self, weight: Floats, bias: Floats | None, eps: float, isa: int) -> None:
        self.width, self._eps, self._isa = len(weight), eps, isa
        self._weight, self._bias = padded(weight), padded(bias)
        self.struct = NormStruct(address(self._weight), address(self._bias))

    def __call__(self, rows: Floats) -> Floats:
        """(R, H) to (R, H)."""
        out = np.array(rows, np.float32, order="C")
        load_library().bertkit_norm(
            ctypes.addressof(self.struct), self._isa, self._eps, out.ctypes.data, len(out), self.width
        )
        return out
