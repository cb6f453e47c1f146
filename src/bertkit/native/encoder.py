"""An encoder with its weights packed for this CPU, which runs a whole batch in one call outside Python's lock."""
# T tokens, B sequences, R chosen tokens, H hidden, E embedding, I intermediate, D head size.

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import InputError, ResourceError
from bertkit.native.library import (
    ALL,
    CHOSEN,
    FIRST,
    ISAS,
    KINDS,
    MEAN,
    BatchStruct,
    Kind,
    LayerStruct,
    LinearStruct,
    ModelStruct,
    NormStruct,
    WantedStruct,
    find_isa,
    has_kind,
    load_library,
)
from bertkit.native.linear import Floats, Int8Weights, PackedLinear, PackedNorm, address, release_late

Weights = Mapping[str, NDArray[Any]]
"""Tensors of an encoder by bertkit's names, such as `layers.0.attention.output.weight`."""


@dataclass(frozen=True, kw_only=True)
class EncoderShape:
    """Sizes and constants of an encoder; `windows` and `thetas` have an entry for each layer."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str
    layer_norm_eps: float
    max_length: int
    position_offset: int = 0
    pre_norm: bool = False
    """ModernBERT: norms in front, rotary positions, a gate in the feed-forward network."""
    windows: tuple[int | None, ...] = ()
    thetas: tuple[float, ...] = ()
    """Base of the rotary positions' wavelengths."""


@dataclass(frozen=True)
class Wanted:
    """What of a layer, counted from 0, the embeddings: all tokens, the chosen ones, or one row for each sequence."""

    layer: int
    what: Literal["all", "chosen", "mean", "first"] = "all"


_MODES = {"all": ALL, "chosen": CHOSEN, "mean": MEAN, "first": FIRST}


class NativeEncoder:
    """Safe to call from several threads at once, and in a process that was forked.

    With the kind int8 the matrices in `stored` count, by the names of their layers; those that are not in it stay in
    float32. Where it is empty all are quantized.
    """

    def __init__(
        self,
        shape: EncoderShape,
        weights: Weights,
        kind: Kind = "float32",
        *,
        stored: Mapping[str, Int8Weights] | None = None,
        isa: str | None = None,
    ) -> None:
        self._isa = find_isa(isa)
        if not has_kind(kind, self._isa):
            raise InputError(
                f"this CPU does not multiply {kind} ({ISAS[self._isa]}): take precision float32 or int8, or 'auto'"
            )
        self.shape, self.kind = shape, kind
        self._kept: list[object] = []
        self._model = self._build(weights, stored or {})
        self._address = ctypes.addressof(self._model)
        release_late(self, self._kept, self._model)

    def run(
        self,
        ids: NDArray[np.int64],
        types: NDArray[np.int64],
        starts: NDArray[np.int32],
        wanted: Sequence[Wanted],
        *,
        chosen: NDArray[np.int64] | None = None,
        threads: int = 1,
    ) -> tuple[Floats, ...]:
        """Hidden states of packed sequences: an array (T, H), (R, H) or (B, H) for each entry of `wanted`.

        `ids` and `types` (T,), `starts` (B + 1,) where the sequences begin and the last ends, `chosen` (R,) tokens in
        ascending order.
        """
        ids, types = np.ascontiguousarray(ids, np.int64), np.ascontiguousarray(types, np.int64)
        starts = np.ascontiguousarray(starts, np.int32)
        chosen = np.empty(0, np.int64) if chosen is None else np.ascontiguousarray(chosen, np.int64)
        self._check(ids, types, starts, chosen)
        sequences = len(starts) - 1
        rows = {"all": len(ids), "chosen": len(chosen), "mean": sequences, "first": sequences}
        outputs = tuple(np.empty((rows[want.what], self.shape.hidden_size), np.float32) for want in wanted)
        structs = (WantedStruct * len(wanted))(
            *(
                WantedStruct(want.layer, _MODES[want.what], out.ctypes.data)
                for want, out in zip(wanted, outputs, strict=True)
            )
        )
        batch = BatchStruct(
            ids.ctypes.data, types.ctypes.data, starts.ctypes.data, chosen.ctypes.data, sequences, len(chosen)
        )
        failed = load_library().bertkit_encode(
            self._address, self._isa, ctypes.addressof(batch), ctypes.addressof(structs), len(wanted), threads
        )
        if failed:
            raise ResourceError(f"no memory for a batch of {len(ids):,} tokens: lower the tokens of a batch")
        return outputs

    def linear(self, weight: Floats, bias: Floats | None, activation: str | None = None) -> PackedLinear:
        """A layer of a head, in float32, for this CPU."""
        return PackedLinear(weight, bias, "float32", self._isa, activation)

    def norm(self, weight: Floats, bias: Floats | None) -> PackedNorm:
        """A LayerNorm of a head."""
        return PackedNorm(weight, bias, self.shape.layer_norm_eps, self._isa)

    def _check(
        self, ids: NDArray[np.int64], types: NDArray[np.int64], starts: NDArray[np.int32], chosen: NDArray[np.int64]
    ) -> None:
        """C trusts what it is given."""
        lengths = np.diff(starts)
        assert starts[0] == 0 and starts[-1] == len(ids) == len(types) and (lengths > 0).all()
        assert len(chosen) == 0 or (chosen[0] >= 0 and chosen[-1] < len(ids) and (np.diff(chosen) > 0).all())
        if lengths.max(initial=0) > self.shape.max_length:
            raise InputError(f"a sequence has {lengths.max()} tokens, the model has {self.shape.max_length} positions")
        if len(ids) and not (ids.min() >= 0 and ids.max() < self._entries):
            raise InputError(f"token ids must lie in 0 to {self._entries - 1}, got {ids.min()} to {ids.max()}")
        if len(types) and self._types and not (types.min() >= 0 and types.max() < self._types):
            raise InputError(f"token types must lie in 0 to {self._types - 1}, got {types.min()} to {types.max()}")

    def _keep(self, value: Any) -> Any:
        self._kept.append(value)
        return value

    def _table(self, weights: Weights, name: str) -> Floats | None:
        table = weights.get(f"embeddings.{name}_embeddings.weight")
        return None if table is None else self._keep(np.ascontiguousarray(table, np.float32))

    def _linear(self, packed: PackedLinear) -> LinearStruct:
        return self._keep(packed).struct  # type: ignore[no-any-return]

    def _norm(self, weights: Weights, name: str) -> NormStruct:
        weight = weights.get(f"{name}.weight")
        if weight is None:
            return NormStruct()
        norm = PackedNorm(weight, weights.get(f"{name}.bias"), self.shape.layer_norm_eps, self._isa)
        return self._keep(norm).struct  # type: ignore[no-any-return]

    def _build(self, weights: Weights, stored: Mapping[str, Int8Weights]) -> ModelStruct:
        shape = self.shape
        words, positions, types = (self._table(weights, name) for name in ("word", "position", "token_type"))
        assert words is not None
        self._entries, self._types = len(words), 0 if types is None else len(types)
        projection = LinearStruct()
        if "embeddings.projection.weight" in weights:
            projection = self._linear(
                self.linear(weights["embeddings.projection.weight"], weights.get("embeddings.projection.bias"))
            )
        layers = self._keep((LayerStruct * shape.num_hidden_layers)())
        turns = {theta: self._rotation(theta) for theta in set(shape.thetas)}
        for depth in range(shape.num_hidden_layers):
            layers[depth] = self._layer(depth, weights, stored, turns)
        attention: Kind = "bf16" if self.kind != "float32" and has_kind("bf16", self._isa) else "float32"
        return ModelStruct(
            address(words),
            address(positions),
            address(types),
            self._norm(weights, "embeddings.norm"),
            self._norm(weights, "final_norm"),
            projection,
            layers,
            shape.num_hidden_layers,
            shape.hidden_size,
            words.shape[1],
            shape.num_attention_heads,
            shape.intermediate_size,
            shape.position_offset,
            shape.pre_norm,
            KINDS[attention],
            shape.layer_norm_eps,
        )

    def _layer(
        self,
        depth: int,
        weights: Weights,
        stored: Mapping[str, Int8Weights],
        turns: Mapping[float, tuple[Floats, Floats]],
    ) -> LayerStruct:
        shape, place = self.shape, f"layers.{depth}"

        def linear(
            part: str,
            activation: str | None = None,
            arrange: Callable[[NDArray[Any]], NDArray[Any]] = lambda rows: rows,
        ) -> LinearStruct:
            name = f"{place}.{part}"
            bias = weights.get(f"{name}.bias")
            kind: Kind = "float32" if stored and name not in stored else self.kind
            weight: Floats | Int8Weights
            if kind == "int8" and name in stored:
                weight = Int8Weights(arrange(stored[name].codes), arrange(stored[name].scales))
            else:
                weight = arrange(weights[f"{name}.weight"])
            bias = None if bias is None else arrange(bias)
            return self._linear(PackedLinear(weight, bias, kind, self._isa, activation))

        if shape.pre_norm:
            gated = {"gelu": "geglu", "gelu_new": "geglu_new"}[shape.hidden_act]
            up = linear("intermediate", gated, _gates_beside)
        else:
            up = linear("intermediate", shape.hidden_act)
        window = shape.windows[depth] if shape.windows else None
        cosines, sines = turns[shape.thetas[depth]] if shape.thetas else (None, None)
        return LayerStruct(
            linear("attention.query_key_value"),
            linear("attention.output"),
            up,
            linear("output"),
            self._norm(weights, f"{place}.attention_norm"),
            self._norm(weights, f"{place}.intermediate_norm" if shape.pre_norm else f"{place}.output_norm"),
            address(cosines),
            address(sines),
            window or 0,
        )

    def _rotation(self, theta: float) -> tuple[Floats, Floats]:
        """Cosines and sines (positions, D / 2) of every place, in float32 from the angles on."""
        size = self.shape.hidden_size // self.shape.num_attention_heads
        exponents = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
        rates = np.float32(1.0) / np.float32(theta) ** exponents
        angles = np.arange(self.shape.max_length, dtype=np.float32)[:, None] * rates
        return self._keep((np.cos(angles), np.sin(angles)))  # type: ignore[no-any-return]


def _gates_beside(rows: NDArray[Any]) -> NDArray[Any]:
    """(2 I, ...), outputs and then their gates, in panels of 16 outputs and their 16 gates; zeros fill the last."""
    half = len(rows) // 2
    wide = -(-half // 32) * 32
    spread = np.zeros((2, wide, *rows.shape[1:]), rows.dtype)
    spread[0, :half], spread[1, :half] = rows[:half], rows[half:]
    panels = spread.reshape(2, wide // 16, 16, *rows.shape[1:])
    return np.ascontiguousarray(panels.swapaxes(0, 1)).reshape(2 * wide, *rows.shape[1:])
