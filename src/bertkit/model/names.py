"""Hugging Face's tensor names for ours, in one ordered table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

_TABLE = (
    (r"^bert\.embeddings\.norm\.", "bert.embeddings.LayerNorm."),
    (r"^bert\.layers\.(\d+)\.attention\.output\.", r"bert.encoder.layer.\1.attention.output.dense."),
    (r"^bert\.layers\.(\d+)\.attention\.", r"bert.encoder.layer.\1.attention.self."),
    (r"^bert\.layers\.(\d+)\.attention_norm\.", r"bert.encoder.layer.\1.attention.output.LayerNorm."),
    (r"^bert\.layers\.(\d+)\.intermediate\.", r"bert.encoder.layer.\1.intermediate.dense."),
    (r"^bert\.layers\.(\d+)\.output\.", r"bert.encoder.layer.\1.output.dense."),
    (r"^bert\.layers\.(\d+)\.output_norm\.", r"bert.encoder.layer.\1.output.LayerNorm."),
    (r"^masked_lm\.dense\.", "cls.predictions.transform.dense."),
    (r"^masked_lm\.norm\.", "cls.predictions.transform.LayerNorm."),
    (r"^masked_lm\.", "cls.predictions."),
    (r"^next_sentence\.dense\.", "cls.seq_relationship."),
    (r"^head\.dense\.", "classifier."),
    (r"^head\.qa_outputs\.", "qa_outputs."),
)
_FUSED = "query_key_value"
_PARTS = ("query", "key", "value")


def huggingface_names(name: str) -> tuple[str, ...]:
    """The names under which Hugging Face keeps our tensor `name`: one, or three for query, key and value."""
    for pattern, replacement in _TABLE:
        name, count = re.subn(pattern, replacement, name)
        if count:
            break
    return tuple(name.replace(_FUSED, part) for part in _PARTS) if _FUSED in name else (name,)


def to_huggingface(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of ours, with query, key and value apart."""
    renamed = {}
    for name, tensor in tensors.items():
        names = huggingface_names(name)
        for foreign, part in zip(names, tensor.chunk(len(names)), strict=True):
            renamed[foreign] = part.contiguous()
    return renamed


def from_huggingface(tensors: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of ours among `wanted` that `tensors` holds, whether or not its names begin with "bert."."""
    bare = not any(name.startswith("bert.") for name in tensors)
    found = {}
    for name in wanted:
        foreign = huggingface_names(name)
        if bare:
            foreign = tuple(part.removeprefix("bert.") for part in foreign)
        if all(part in tensors for part in foreign):
            found[name] = torch.cat([tensors[part] for part in foreign]) if len(foreign) > 1 else tensors[foreign[0]]
    return found
