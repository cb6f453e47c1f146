"""The compiled library: loading it, what this CPU can run, and the structures of `engine.h`."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_float, c_int, c_int32, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, Literal

from bertkit.core.errors import InputError

LIBRARY = Path(__file__).with_name("engine.so")

Kind = Literal["float32", "bf16", "int8"]
KINDS: dict[Kind, int] = {"float32": 0, "bf16": 1, "int8": 2}
ACTIVATIONS = {None: 0, "gelu": 1, "gelu_new": 2, "relu": 3, "geglu": 4, "geglu_new": 5}
ISAS = ("avx2", "avx_vnni", "avx512", "avx512_vnni", "avx512_bf16", "amx")
"""Levels of instructions, the best last."""
ALL, CHOSEN, MEAN, FIRST = range(4)
"""What is wanted of a layer: every token, the chosen ones, or each sequence's mean or first token."""


class LinearStruct(ctypes.Structure):
    """`Linear` of engine.h."""

    _fields_ = (
        ("panels", c_void_p),
        ("bias", c_void_p),
        ("scale", c_void_p),
        ("sums", c_void_p),
        ("inputs", c_int32),
        ("outputs", c_int32),
        ("kind", c_int32),
        ("activation", c_int32),
    )


class NormStruct(ctypes.Structure):
    """`Norm` of engine.h."""

    _fields_ = (("weight", c_void_p), ("bias", c_void_p))


class LayerStruct(ctypes.Structure):
    """`Layer` of engine.h."""

    _fields_ = (
        ("query_key_value", LinearStruct),
        ("attention_output", LinearStruct),
        ("up", LinearStruct),
        ("down", LinearStruct),
        ("attention_norm", NormStruct),
        ("output_norm", NormStruct),
        ("cosines", c_void_p),
        ("sines", c_void_p),
        ("window", c_int32),
    )


class ModelStruct(ctypes.Structure):
    """`Model` of engine.h."""

    _fields_ = (
        ("words", c_void_p),
        ("positions", c_void_p),
        ("types", c_void_p),
        ("embedding_norm", NormStruct),
        ("final_norm", NormStruct),
        ("projection", LinearStruct),
        ("layers", POINTER(LayerStruct)),
        ("num_layers", c_int32),
        ("hidden", c_int32),
        ("embedding", c_int32),
        ("heads", c_int32),
        ("intermediate", c_int32),
        ("position_offset", c_int32),
        ("pre_norm", c_int32),
        ("attention_kind", c_int32),
        ("eps", c_float),
    )


class WantedStruct(ctypes.Structure):
    """`Wanted` of engine.h."""

    _fields_ = (("layer", c_int32), ("mode", c_int32), ("out", c_void_p))


class BatchStruct(ctypes.Structure):
    """`Batch` of engine.h."""

    _fields_ = (
        ("ids", c_void_p),
        ("types", c_void_p),
        ("starts", c_void_p),
        ("chosen", c_void_p),
        ("sequences", c_int64),
        ("num_chosen", c_int64),
    )


_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "bertkit_has_isa": (c_int, (c_int,)),
    "bertkit_isa_name": (c_char_p, (c_int,)),
    "bertkit_most_weight": (c_int, (c_int,)),
    "bertkit_has_kind": (c_int, (c_int, c_int)),
    "bertkit_panel_bytes": (c_int64, (c_int, c_int, c_int)),
    "bertkit_pack": (None, (c_void_p, c_int, c_int, c_int, c_int, c_void_p, c_void_p, c_void_p)),
    "bertkit_pack_codes": (None, (c_void_p, c_void_p, c_int, c_int, c_int, c_void_p, c_void_p, c_void_p)),
    "bertkit_encode": (c_int, (c_void_p, c_int, c_void_p, c_void_p, c_int, c_int)),
    "bertkit_linear": (c_int, (c_void_p, c_int, c_void_p, c_int64, c_void_p, c_int)),
    "bertkit_norm": (None, (c_void_p, c_int, c_float, c_void_p, c_int64, c_int)),
    "bertkit_wait_for_helpers": (None, ()),
}


@cache
def load_library() -> ctypes.CDLL:
    """The library; raises `InputError` where the package was installed without it or the CPU is too old."""
    try:
        library = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        why = "was not compiled when bertkit was installed" if not LIBRARY.is_file() else f"cannot be loaded ({error})"
        raise InputError(
            f"the native engine {why}: install gcc or clang on an x86-64 CPU and install bertkit again, or take "
            "another backend"
        ) from None
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    if not library.bertkit_has_isa(0):
        raise InputError(
            "the native engine needs a CPU with AVX2 and FMA, which this one has not: take another backend"
        )
    return library


def available_isas() -> tuple[str, ...]:
    """The levels that this CPU and its system have, the best last. Raises `InputError` as `load_library`."""
    library = load_library()
    return tuple(name for index, name in enumerate(ISAS) if library.bertkit_has_isa(index))


def find_isa(name: str | None = None) -> int:
    """The number of a level, of the best there is without a name. Raises `InputError`."""
    available = available_isas()
    if name is not None and name not in available:
        raise InputError(f"this CPU has no {name}: it has {', '.join(available)}")
    return ISAS.index(available[-1] if name is None else name)


def has_kind(kind: Kind, isa: int) -> bool:
    """Whether a level has products of this kind."""
    return bool(load_library().bertkit_has_kind(isa, KINDS[kind]))
