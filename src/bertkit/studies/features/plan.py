"""What a study of features does: its options, the sets of layers, published figures. Free of torch, for `--help`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bertkit.core.errors import InputError
from bertkit.core.machine import Precision
from bertkit.inference.feature_layers import Layers, find_layers


@dataclass(frozen=True, kw_only=True)
class FeatureStudyOptions:
    """How a frozen encoder's features are studied: only the model on top of them is trained."""

    features: tuple[str, ...] = ()
    """embeddings, second-to-last, last, sum-last-four, weighted-last-four, concat-last-four, weighted-all; all of them
    unless given."""
    seeds: int = 3
    """Trainings that differ in initial weights, order and dropout, or in the texts that are held out."""
    train_rows: int | None = None
    """Use only the first so many training examples."""
    hold_out: float | None = None
    """Share of the training texts to use as the dev set, another sample for each seed; not for tagging."""
    max_length: int | None = None
    """Most tokens of a sequence, special tokens included."""
    inverse_penalty: float = 1.0
    """Of the logistic regression: C of scikit-learn."""
    width: int = 768
    """Of the BiLSTM, in each direction."""
    epochs: int = 10
    """Of the BiLSTM; the epoch that is best on dev is evaluated."""
    batch_size: int = 32
    """Sentences an update."""
    learning_rate: float = 1e-3
    """Peak of the BiLSTM's learning rate, reached after a tenth of all updates."""
    dropout: float = 0.2
    """On the input of the BiLSTM, between its layers and on its output."""
    precision: Precision = "float32"
    """Of the encoder. bf16 is faster where the CPU or GPU supports it; auto then chooses it."""

    def __post_init__(self) -> None:
        for name in ("seeds", "train_rows", "width", "epochs", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        for name in ("inverse_penalty", "learning_rate"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.hold_out is not None and not 0 < self.hold_out < 1:
            raise InputError(f"hold_out must be between 0 and 1, got {self.hold_out}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must be at least 0 and below 1, got {self.dropout}")


Combination = Literal["concat", "sum", "learned"]
"""Layers concatenated, summed, or summed with weights that are learned together with the model on top."""

_LAST_FOUR = (-4, -3, -2, -1)


@dataclass(frozen=True, kw_only=True)
class FeatureSet:
    """Some layers and how they are combined."""

    name: str
    layers: Layers
    combination: Combination = "concat"

    def find(self, num_layers: int) -> tuple[int, ...] | None:
        """The layers' numbers in a model with `num_layers`; None if it has too few."""
        if self.layers == _LAST_FOUR and num_layers < len(_LAST_FOUR):
            return None
        return find_layers(self.layers, num_layers)


FEATURE_SETS = (
    FeatureSet(name="embeddings", layers="embeddings"),
    FeatureSet(name="second-to-last", layers=-2),
    FeatureSet(name="last", layers="last"),
    FeatureSet(name="sum-last-four", layers=_LAST_FOUR, combination="sum"),
    FeatureSet(name="weighted-last-four", layers=_LAST_FOUR, combination="learned"),
    FeatureSet(name="concat-last-four", layers=_LAST_FOUR),
    FeatureSet(name="weighted-all", layers="all", combination="learned"),
)

PUBLISHED: dict[tuple[str, str, str], float] = {
    # Devlin et al. 2019, Table 7: dev F1 of BERT base, cased, with document context
    ("CoNLL-2003", "words", "embeddings"): 0.910,
    ("CoNLL-2003", "words", "second-to-last"): 0.956,
    ("CoNLL-2003", "words", "last"): 0.949,
    ("CoNLL-2003", "words", "weighted-last-four"): 0.959,
    ("CoNLL-2003", "words", "concat-last-four"): 0.961,
    ("CoNLL-2003", "words", "weighted-all"): 0.955,
    # Accuracy of DistilBERT's [CLS] in a well-known tutorial, on a quarter of 2,000 training sentences
    ("SST-2-sentences", "cls", "last"): 0.82,
}
"""Published scores by benchmark, pooling and feature set."""


def find_feature_sets(names: Sequence[str]) -> tuple[FeatureSet, ...]:
    """The sets of these names, in the order given; all sets if there are no names."""
    known = {one.name: one for one in FEATURE_SETS}
    names = [name.strip() for one in names for name in one.split(",")]
    for name in names:
        if name not in known:
            raise InputError(f"unknown features {name!r}: use {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names)) or FEATURE_SETS
