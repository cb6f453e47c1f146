"""The levels of instructions that the native engine has on this machine, for tests that run at each of them."""

from __future__ import annotations

import pytest

from bertkit.core.errors import InputError
from bertkit.native.library import available_isas, find_isa, has_kind

try:
    AVAILABLE: tuple[str, ...] = available_isas()
    WHY_NOT = ""
except InputError as error:
    AVAILABLE, WHY_NOT = (), str(error)

needs_native = pytest.mark.skipif(not AVAILABLE, reason=WHY_NOT)
every_isa = pytest.mark.parametrize("isa", AVAILABLE or [pytest.param("", marks=needs_native)])
every_product = pytest.mark.parametrize(
    ("kind", "isa"),
    [(kind, isa) for kind in ("float32", "bf16", "int8") for isa in AVAILABLE if has_kind(kind, find_isa(isa))]
    or [pytest.param("", "", marks=needs_native)],
)
