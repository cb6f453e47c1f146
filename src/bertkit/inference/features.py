"""Vectors of texts or of their tokens: which layers they are made of, and how those are pooled and combined."""
# N texts, B of them in a batch, T tokens, R rows of vectors (N, or all tokens), H hidden, F features.

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import InputError, not_finite
from bertkit.core.packing import PackedArrays
from bertkit.inference.backends.base import Output, PooledStates, SequenceStates, TokenStates, Want
from bertkit.inference.feature_layers import Layers, find_layers
from bertkit.inference.loaded_model import LoadedModel
from bertkit.pretrained.sentence_settings import Pooling
from bertkit.tasks.labelled import shortened
from bertkit.text.sequences import EncodedExample

Combination = Literal["concat", "sum", "mean", "weighted"]
FeaturePooling = Literal["mean", "cls", "tokens"]
"""Mean of all tokens with the special ones, hidden state of [CLS], or every token's own."""


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
        config = model.config
        found = find_layers(layers, config.num_hidden_layers)
        if combination not in get_args(Combination):
            raise InputError(f"combination {combination!r} is unknown: use one of {', '.join(get_args(Combination))}")
        if pooling == "pooler" and not model.engine.backend.has_pooler:
            raise InputError(f"{model.path} has no pooler: use pooling mean or cls")
        if pooling == "pooler" and found != (config.num_hidden_layers,):
            raise InputError(f"the pooler reads the last layer, not layer {layers}: use pooling mean or cls")
        return cls(
            layers=found,
            combination=combination,
            weights=_checked_weights(weights, combination, len(found)),
            pooling=pooling,
            normalize=normalize,
            max_length=model.longest(max_length, model.settings.max_length),
            hidden_size=config.hidden_size,
        )

    @property
    def width(self) -> int:
        """F."""
        return self.hidden_size * (len(self.layers) if self.combination == "concat" else 1)

    @property
    def is_per_token(self) -> bool:
        """Whether every token has a vector, and not every text."""
        return self.pooling == "tokens"

    @property
    def want(self) -> Want:
        """What the vectors are made of."""
        if self.pooling == "pooler":
            return PooledStates()
        if self.is_per_token:
            return TokenStates(self.layers)
        # Pooled before they are combined: both are linear, and there are fewer sequences than tokens.
        return SequenceStates(self.layers, "mean" if self.pooling == "mean" else "first")

    def vectors(self, batch: PackedArrays, output: Output) -> NDArray[np.float32]:
        """Float32 (B, F), or (T, F) of tokens: of what `want` gives."""
        made = self._combined(output)
        if not self.normalize:
            return made
        lengths = np.sqrt(np.einsum("rf,rf->r", made, made))
        normalized: NDArray[np.float32] = made / np.maximum(lengths, _SHORTEST)[:, None]
        return normalized

    def _combined(self, parts: Output) -> NDArray[np.float32]:
        if self.combination == "concat":
            return np.concatenate(parts, -1) if len(parts) > 1 else parts[0]
        weights = np.array(self.weights or (1.0,) * len(parts), np.float32)
        total: NDArray[np.float32] = np.einsum("k,krf->rf", weights, np.stack(parts))
        return total / np.float32(len(parts)) if self.combination == "mean" else total


_SHORTEST = np.float32(1e-12)
"""Vectors of no length stay as they are."""


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
            raise InputError(f"weight {weight} is not finite: give finite weights")
    return tuple(float(weight) for weight in weights)


@dataclass(frozen=True, slots=True, eq=False)
class TokenFeatures:
    """The n tokens of a text as the model reads them, [CLS] and [SEP] included."""

    tokens: tuple[str, ...]
    offsets: NDArray[np.int32]
    """(n, 2) where each token starts and ends, in characters of the text; (0, 0) for added tokens."""
    vectors: NDArray[np.float32]
    """(n, F)"""


@dataclass(frozen=True, slots=True, eq=False)
class TextFeatures:
    """Vectors of N texts end to end, and the texts as they were read."""

    vectors: NDArray[np.float32]
    """(R, F)"""
    examples: Sequence[EncodedExample]
    is_cut: NDArray[np.bool_]
    """(N,) longer than the plan's `max_length`."""

    def by_text(self, vocabulary: Sequence[str]) -> Iterator[TokenFeatures]:
        """Where every token has a vector, those of each text."""
        stop = 0
        for example in self.examples:
            start, stop = stop, stop + len(example)
            tokens = tuple(vocabulary[token] for token in example.input_ids.tolist())
            yield TokenFeatures(tokens, example.offsets, self.vectors[start:stop])


def extract_features(
    model: LoadedModel,
    texts: Sequence[str],
    plan: FeaturePlan,
    advance: Callable[[int], None] = lambda count: None,
) -> TextFeatures:
    """Encode the texts, all of which memory holds, and carry out `plan`; `advance` is told how many texts are done."""
    room = plan.max_length - 2  # beside [CLS] and [SEP]
    pieces = model.tokenizer.pieces(texts, room)
    examples = model.tokenizer.join(pieces.cut(room))
    lengths = np.array([len(example) for example in examples], np.int64)
    counts = lengths if plan.is_per_token else np.ones_like(lengths)
    vectors = model.engine.rows(examples, plan.want, counts, plan.vectors, advance)
    broken = np.flatnonzero(~np.isfinite(vectors).all(-1))
    if len(broken):
        index = int(np.searchsorted(np.cumsum(counts), broken[0], side="right"))
        raise not_finite(f"text {index}, {shortened(texts[index])}")
    return TextFeatures(vectors, examples, pieces.lengths > room)
