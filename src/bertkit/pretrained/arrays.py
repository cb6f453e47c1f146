"""The weights of a model folder as NumPy arrays under our names, for backends that run without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import InputError
from bertkit.model.config import BertConfig, ModernBertConfig
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

    A safetensors file is mapped, and float32 arrays are views of it. Raises `InputError` for what is missing or broken,
    and for an encoder's tensor whose shape is not the configuration's.
    """

    def __init__(self, weights: Path, names: NameTable, class_name: str, config: BertConfig) -> None:
        self._weights, self._names, self._class_name = weights, names, class_name
        self._shapes = {f"bert.{name}": shape for name, shape in encoder_shapes(config)}

    def __contains__(self, name: str) -> bool:
        return all(part in self._spelled for part in self._names.foreign(name))

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor that is there."""
        return self._shape(name, [self._oriented(each) for each in self._names.foreign(name)])

    def read(self, name: str, shape: tuple[int, ...] | None = None) -> NDArray[np.float32]:
        """The tensor in float32, not to be written to; `shape` is what it has to have beside an encoder's own."""
        parts = [self._oriented(each) for each in self._names.foreign(name)]
        self._shape(name, parts, shape)
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

    def _shape(
        self, name: str, parts: Sequence[NDArray[Any]], wanted: tuple[int, ...] | None = None
    ) -> tuple[int, ...]:
        found = parts[0].shape
        if len(parts) > 1 and found and all(part.shape[1:] == found[1:] for part in parts):
            found = (sum(part.shape[0] for part in parts), *found[1:])
        wanted = self._shapes.get(name, found) if wanted is None else wanted
        if found != wanted:
            raise InputError(
                f"{self._weights}: {name} has shape {found} but config.json asks for {wanted}: the two files do not "
                "belong together"
            )
        return found

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


def encoder_shapes(config: BertConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of an encoder's tensors."""
    hidden, inner, width = config.hidden_size, config.intermediate_size, config.embedding_size
    modern = isinstance(config, ModernBertConfig)

    def linear(name: str, outputs: int, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", (outputs, inputs)
        if not modern:
            yield f"{name}.bias", (outputs,)

    def norm(name: str, size: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", (size,)
        if not modern:
            yield f"{name}.bias", (size,)

    yield "embeddings.word_embeddings.weight", (config.vocab_size, width)
    if not modern:
        yield "embeddings.position_embeddings.weight", (config.max_position_embeddings, width)
    if config.type_vocab_size:
        yield "embeddings.token_type_embeddings.weight", (config.type_vocab_size, width)
    yield from norm("embeddings.norm", width)
    if width != hidden:
        yield from linear("embeddings.projection", hidden, width)
    for depth in range(config.num_hidden_layers):
        place = f"layers.{depth}"
        if depth or not modern:
            yield from norm(f"{place}.attention_norm", hidden)
        yield from linear(f"{place}.attention.query_key_value", 3 * hidden, hidden)
        yield from linear(f"{place}.attention.output", hidden, hidden)
        yield from norm(f"{place}.intermediate_norm" if modern else f"{place}.output_norm", hidden)
        yield from linear(f"{place}.intermediate", 2 * inner if modern else inner, hidden)
        yield from linear(f"{place}.output", hidden, inner)
    if modern:
        yield from norm("final_norm", hidden)
