"""The weights of a model folder as NumPy arrays under our names, for backends that run without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import InputError
from bertkit.pretrained.formats.name_table import NameTable
from bertkit.pretrained.int8 import INT8_FILE, Int8Tensors
from bertkit.pretrained.weights import is_tensorflow, read_tensors, weight_parts

_BF16 = np.dtype("V2")
"""NumPy has no bfloat16: its bits are kept, the upper half of a float32's."""
_DTYPES: dict[str, np.dtype[Any]] = {"BF16": _BF16, "BOOL": np.dtype(bool)} | {
    f"{kind.upper()}{8 * size}": np.dtype(f"<{kind}{size}")
    for kind, sizes in (("f", (2, 4, 8)), ("i", (1, 2, 4, 8)), ("u", (1, 2, 4, 8)))
    for size in sizes
}
_LONGEST_HEADER = 100 << 20


class FolderArrays:
    """Looked up by our names, in which query, key and value are one matrix; each is read when it is asked for.

    A safetensors file is mapped, and float32 arrays are views of it. Raises `InputError` for what is missing or broken.
    """

    def __init__(self, weights: Path, names: NameTable, class_name: str) -> None:
        self._weights, self._names, self._class_name = weights, names, class_name

    def __contains__(self, name: str) -> bool:
        return all(part in self._spelled for part in self._names.foreign(name))

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor that is there."""
        parts = [self._oriented(each) for each in self._names.foreign(name)]
        return (sum(part.shape[0] for part in parts), *parts[0].shape[1:])

    def read(self, name: str) -> NDArray[np.float32]:
        """The tensor in float32, not to be written to."""
        parts = [self._oriented(each) for each in self._names.foreign(name)]
        odd = next((part.dtype for part in parts if part.dtype.kind not in "fV"), None)
        if odd is not None:
            raise InputError(f"{self._weights}: {name} is {odd}, not floating-point: give plain weights")
        parts = [_as_float32(part) for part in parts]
        values = np.concatenate(parts) if len(parts) > 1 else parts[0]
        # A sum is finite if all are, and costs less; one of finite numbers may still overflow.
        if not np.isfinite(values.sum()) and not np.isfinite(values).all():
            bad = int((~np.isfinite(values)).sum())
            raise InputError(
                f"{self._weights}: {bad:,} of {values.size:,} weights of {name} are NaN or infinite: "
                "the training diverged or the file is broken, take an earlier checkpoint"
            )
        return values

    def check_tied(self) -> None:
        """Raise `InputError` where the masked-LM head has a matrix of its own beside the word embeddings."""
        spelled, others = self._names.spelled(self._stored)
        for name, standard in others.items():
            first = spelled[standard]
            if first != name and not np.array_equal(self._stored[name], self._stored[first]):
                raise InputError(f"{self._weights}: {name} is not tied to the word embeddings: load the encoder alone")

    @cached_property
    def _stored(self) -> Mapping[str, NDArray[Any]]:
        if self._weights.name == INT8_FILE:
            return Int8Tensors.read(self._weights).dequantized()
        if is_tensorflow(self._weights):
            return _Converted(read_tensors(self._weights))
        parts = weight_parts(self._weights)
        if all(part.suffix == ".safetensors" for part in parts):
            return {name: array for part in parts for name, array in map_safetensors(part).items()}
        return _Converted(read_tensors(self._weights))

    @cached_property
    def _spelled(self) -> dict[str, str]:
        """The stored name of every name that the format gives."""
        return self._names.spelled(self._stored)[0]

    def _oriented(self, foreign: str) -> NDArray[Any]:
        if foreign not in self._spelled:
            raise InputError(f"{self._weights} lacks the tensor {foreign}: it is not a whole {self._class_name}")
        array = self._stored[self._spelled[foreign]]
        return array.T if self._names.is_transposed(foreign) else array


class _Converted(Mapping[str, NDArray[np.float32]]):
    """Tensors of a format that only torch reads."""

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        array: NDArray[np.float32] = self._tensors[name].float().numpy()
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def map_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Every tensor of a file as a view of its bytes; bfloat16 as two bytes without a type. Raises `InputError`."""
    data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    try:
        start = 8 + int.from_bytes(data[:8].tobytes(), "little")
        if not 8 < start <= min(len(data), _LONGEST_HEADER):
            raise ValueError("its header is longer than the file")
        header: dict[str, Any] = json.loads(data[8:start].tobytes())
        found = {}
        for name, entry in header.items():
            dtype = _DTYPES.get(entry["dtype"]) if name != "__metadata__" else None
            if dtype is None:
                continue
            first, last = entry["data_offsets"]
            count = int(np.prod(entry["shape"], dtype=np.int64))
            if last - first != count * dtype.itemsize or not 0 <= first <= last <= len(data) - start:
                raise ValueError(f"{name} lies outside of it")
            found[name] = np.frombuffer(data, dtype, count, start + first).reshape(entry["shape"])
        return found
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is not a whole safetensors file ({reason}): copy it again") from None


def _as_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype == _BF16:
        return (array.view("<u2").astype(np.uint32) << 16).view(np.float32)
    return np.asarray(array, np.float32)
