"""How hidden states become vectors: layers, their combination, pooling."""
# T tokens, B sequences, H hidden, F features.

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from bertkit.foundation.errors import InputError
from bertkit.foundation.packed_batch import PackedBatch
from bertkit.inference.feature_layers import Layers, find_layers
from bertkit.inference.loaded_model import LoadedModel
from bertkit.inference.pooling import all_tokens, first_tokens, mean_of_tokens
from bertkit.model.bert import EncoderOutput
from bertkit.model.sentence_settings import Pooling

Combination = Literal["concat", "sum", "mean", "weighted"]
FeaturePooling = Literal["mean", "cls", "tokens"]
"""Mean of all tokens with the special ones, hidden state of [CLS], or every token's own."""

_POOLINGS = {"mean": mean_of_tokens, "cls": first_tokens, "tokens": all_tokens}


@dataclass(frozen=True, kw_only=True)
class FeaturePlan:
    """What is made of an encoder's output; `of` checks it against a model."""

    layers: tuple[int, ...]
    """From 0, the embeddings."""
    combination: Combination = "concat"
    weights: tuple[float, ...] = ()
    """Of a weighted sum, one a layer."""
    pooling: Pooling | FeaturePooling
    normalize: bool = False
    """Whether vectors get length 1."""
    max_length: int
    hidden_size: int
    needs_hidden_states: bool
    """Whether a layer below the last is read."""

    @classmethod
    def of(
        cls,
        model: LoadedModel,
        *,
        layers: Layers,
        combination: Combination = "concat",
        weights: Sequence[float] | None = None,
        pooling: Pooling | FeaturePooling,
        normalize: bool = False,
        max_length: int | None = None,
    ) -> FeaturePlan:
        """Check every choice; raises `InputError`."""
        config = model.bert.config
        found = find_layers(layers, config.num_hidden_layers)
        if combination not in get_args(Combination):
            raise InputError(f"combination {combination!r} is unknown: use one of {', '.join(get_args(Combination))}")
        if pooling == "pooler" and model.bert.pooler is None:
            raise InputError(f"{model.path} has no pooler: use pooling mean or cls")
        if pooling == "pooler" and found != (config.num_hidden_layers,):
            raise InputError(f"the pooler stands on the last layer, not on layer {layers}: use pooling mean or cls")
        return cls(
            layers=found,
            combination=combination,
            weights=_checked_weights(weights, combination, len(found)),
            pooling=pooling,
            normalize=normalize,
            max_length=model.longest(max_length, model.settings.max_length),
            hidden_size=config.hidden_size,
            needs_hidden_states=found != (config.num_hidden_layers,),
        )

    @property
    def width(self) -> int:
        """F."""
        return self.hidden_size * (len(self.layers) if self.combination == "concat" else 1)

    @property
    def is_per_token(self) -> bool:
        """Whether every token has a vector, and not every text."""
        return self.pooling == "tokens"

    def tokens_read(self, batch: PackedBatch) -> Tensor | None:
        """The tokens whose last hidden states become vectors; None for all."""
        if self.pooling == "pooler":
            return batch.cu_seqlens.new_empty(0)
        return batch.cu_seqlens[:-1] if self.pooling == "cls" and not self.needs_hidden_states else None

    def vectors(self, batch: PackedBatch, output: EncoderOutput) -> Tensor:
        """Float32 (B, F), or (T, F) of tokens, of an encoder that read `tokens_read`."""
        states = output.hidden_states
        if self.pooling == "pooler":
            made = output.pooler_output.float()
        else:
            # Where [CLS] alone was read, every token that there is.
            pool = all_tokens if states is None and self.pooling == "cls" else _POOLINGS[self.pooling]
            chosen = [output.last_hidden_state] if states is None else [states[layer] for layer in self.layers]
            # Pooling first: both are linear, and there are fewer sequences than tokens.
            made = self._combined([pool(hidden, batch) for hidden in chosen])
        return F.normalize(made) if self.normalize else made

    def _combined(self, parts: Sequence[Tensor]) -> Tensor:
        if self.combination == "concat":
            return torch.cat(list(parts), -1) if len(parts) > 1 else parts[0]
        if self.combination == "weighted":
            parts = [weight * part for weight, part in zip(self.weights, parts, strict=True)]
        total = torch.stack(list(parts)).sum(0)
        return total / len(parts) if self.combination == "mean" else total


def _checked_weights(weights: Sequence[float] | None, combination: Combination, count: int) -> tuple[float, ...]:
    if combination != "weighted":
        if weights is not None:
            raise InputError(f"weights belong to a weighted sum, not to {combination}: leave them out")
        return ()
    if weights is None or len(weights) != count:
        given = "none" if weights is None else len(weights)
        raise InputError(f"a weighted sum of {count} layers needs {count} weights, there are {given}: give one a layer")
    for weight in weights:
        if not math.isfinite(weight):
            raise InputError(f"weight {weight} is no number to multiply with: give finite weights")
    return tuple(float(weight) for weight in weights)
