"""Hugging Face's tensor names for BERT's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from bertkit.model.formats.bert import BERT


def huggingface_names(name: str) -> tuple[str, ...]:
    """The names under which Hugging Face keeps our tensor `name`: one, or three for query, key and value."""
    return BERT.names.foreign(name)


def to_huggingface(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of ours, with query, key and value apart."""
    return BERT.names.write(tensors)


def from_huggingface(tensors: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of ours among `wanted` that `tensors` holds, whether or not its names begin with "bert."."""
    return BERT.names.read(tensors, wanted).found
