"""Layers of an encoder by number and by name."""

from __future__ import annotations

from collections.abc import Sequence

from bertkit.core.errors import InputError

Layers = int | str | Sequence[int | str]
"""Numbers from 0, the embeddings, or back from -1, the last; `embeddings`, `last`, `all`; several also by commas."""

EMBEDDINGS, LAST, ALL = "embeddings", "last", "all"
_LAST_FEW = 4


def find_layers(layers: Layers, num_layers: int) -> tuple[int, ...]:
    """The layers as numbers from 0, the embeddings, to `num_layers`, in the order given.

    `all` is every layer but the embeddings. Raises `InputError` for an unknown layer and for one named twice.
    """
    given = [layers] if isinstance(layers, int | str) else list(layers)
    names = [name for one in given for name in (one.split(",") if isinstance(one, str) else [one])]
    found = [layer for name in names for layer in _find(name, num_layers)]
    if not found:
        raise InputError(f"no layer was named: give a number, {EMBEDDINGS}, {LAST} or {ALL}")
    for place, layer in enumerate(found):
        if layer in found[:place]:
            raise InputError(f"layers {','.join(map(str, names))} name layer {layer} twice: name it once")
    return tuple(found)


def last_layers(num_layers: int) -> range:
    """The last four, which make the best features (Devlin et al. 2019, section 5.3), or all where there are fewer."""
    return range(max(1, num_layers - _LAST_FEW + 1), num_layers + 1)


def _find(name: int | str, num_layers: int) -> Sequence[int]:
    if isinstance(name, str):
        plain = name.strip().lower()
        if plain == ALL:
            return range(1, num_layers + 1)
        named = {EMBEDDINGS: 0, LAST: num_layers}.get(plain)
        if named is not None:
            return (named,)
        try:
            name = int(plain)
        except ValueError:
            raise InputError(
                f"layer {name!r} is unknown: use {EMBEDDINGS}, {LAST}, {ALL} or a number from {-num_layers - 1} to "
                f"{num_layers}"
            ) from None
    if not -num_layers - 1 <= name <= num_layers:
        raise InputError(
            f"layer {name} is unknown, the model has {num_layers}: use {EMBEDDINGS}, {LAST}, {ALL} or a number from "
            f"{-num_layers - 1} to {num_layers}"
        )
    return (name % (num_layers + 1),)
