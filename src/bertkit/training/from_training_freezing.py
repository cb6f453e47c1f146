"""Parts of an encoder that fine-tuning leaves as they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from bertkit.foundation.errors import InputError
from bertkit.model.bert import BertModel

_LAYERS = re.compile(r"layers:(\d+)(?:-(\d+))?")


def freeze(bert: BertModel, parts: Sequence[str]) -> None:
    """Take the gradients from `embeddings`, `layers:3`, `layers:0-5` (both ends included), or `encoder` for all these.

    The pooler is never frozen. A part may name several, separated by commas. What is frozen from the bottom up costs
    no backward pass. Raises `InputError` for other names and for layers that the model lacks.
    """
    for part in (name.strip() for names in parts for name in names.split(",")):
        for module in _modules(bert, part):
            module.requires_grad_(False)


def _modules(bert: BertModel, part: str) -> list[nn.Module]:
    layers = list(bert.layers)
    if part == "embeddings":
        return [bert.embeddings]
    if part == "encoder":
        return [bert.embeddings, *layers, bert.final_norm]
    match = _LAYERS.fullmatch(part)
    if match is None:
        raise InputError(f"freeze {part!r} is unknown: use embeddings, encoder, layers:3 or layers:0-5")
    first = int(match[1])
    last = int(match[2] or first)
    if not first <= last < len(layers):
        raise InputError(f"freeze {part!r} does not fit the model, whose layers are 0-{len(layers) - 1}")
    return layers[first : last + 1]
