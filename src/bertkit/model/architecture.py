"""What makes one family of encoders: the parts that its encoder and its heads are built of."""
# H hidden, E embedding.

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from torch import nn

from bertkit.core.batch import PackedBatch
from bertkit.model.config import BertConfig
from bertkit.model.layers import Embeddings, PredictionTransform
from bertkit.model.layout import SequenceLayout

ConfigT = TypeVar("ConfigT", bound=BertConfig)

SLOWEST = 0.1
"""Radians a token, of the slowest sine that tells tokens 60 apart."""
RANDOM_SHARE = 0.2
"""What is left of the random weights where heads start from their neighbours, so that heads and rows differ."""


def shift_of(head: int) -> int:
    """Where a head of the first layer starts to look: -1, +1, -2, +2 and so on."""
    return (head // 2 + 1) * (1 if head % 2 else -1)


def no_module(_: BertConfig) -> nn.Module:
    """In place of a part that a family has not."""
    return nn.Identity()


def plain_layout(batch: PackedBatch, _: BertConfig) -> SequenceLayout:
    """Where the sequences are, and nothing else."""
    return SequenceLayout(batch)


@dataclass(frozen=True, kw_only=True)
class NeighbourStart(Generic[ConfigT]):
    """How the heads of a first layer begin by attending to the tokens beside."""

    dimensions: Callable[[ConfigT], int]
    """How many of the first dimensions are kept for positions; raises `InputError` where there is no room."""
    set_weights: Callable[[Any, Any, ConfigT, float], None]
    """Changes the embeddings and the first layer, whose weights were drawn with a standard deviation."""


@dataclass(frozen=True, kw_only=True)
class Architecture(Generic[ConfigT]):
    """The parts of a family; each is built from the family's configuration, which holds the sizes."""

    config_type: type[ConfigT]
    embeddings: Callable[[ConfigT], Embeddings]
    """From a batch to (T, H)."""
    layer: Callable[[ConfigT, int], nn.Module]
    """The layer of a depth, the first 0; it is called as `BertLayer` is."""
    final_norm: Callable[[ConfigT], nn.Module] = no_module
    """Behind the last layer."""
    layout: Callable[[PackedBatch, ConfigT], SequenceLayout] = plain_layout
    """What the layers need to know of a batch."""
    pooler: Callable[[ConfigT], nn.Module]
    """From what `config.classifier_pooling` says, (B, H), to what a head of sequences reads, (B, H)."""
    masked_lm_transform: Callable[[ConfigT], PredictionTransform]
    """From (N, H) to the (N, E) that are compared with the word embeddings."""
    token_transform: Callable[[ConfigT], nn.Module] = no_module
    """Before the last layer of a head of tokens, (T, H) to (T, H)."""
    own_heads: Mapping[str, Callable[[ConfigT], nn.Module]] = field(default_factory=dict)
    """Heads that no other family has, by Hugging Face's class in BERT's name."""
    neighbour_start: NeighbourStart[ConfigT] | None = None
    """None where first weights cannot be counted from a corpus."""
    feed_forward_matrices: int = 2
    """Of hidden size by intermediate size in a layer, for the count of operations."""

    @property
    def model_type(self) -> str:
        """Hugging Face's name of the family."""
        return self.config_type.model_type
