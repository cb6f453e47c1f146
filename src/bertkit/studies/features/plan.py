"""- options and feature sets (torch-free)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bertkit.core.errors import InputError
from bertkit.core.machine import Precision
from bertkit.inference.feature_layers import Layers, find_layers


@dataclass(frozen=True, kw_only=True)
class FeatureStudyOptions:
    """The encoder is never trained; what stands on its features is."""

    features: tuple[str, ...] = ()
    """embeddings, second-to-last, last, sum-last-four, weighted-last-four, concat-last-four, weighted-all; all of them
    unless given."""
    seeds: int = 3
    """Trainings that differ in first weights, order and dropout, or in what is held out."""
    train_rows: int | None = None
    """Only so many training examples, the first ones."""
    hold_out: float | None = None
    """Share of the training texts that stands in for the dev set, drawn anew for each seed; not for tags."""
    max_length: int | None = None
    """Tokens of the longest sequence, special ones counted."""
    inverse_penalty: float = 1.0
    """Of the logistic regression: C of scikit-learn."""
    width: int = 768
    """Of the BiLSTM, in each direction."""
    epochs: int = 10
    """Of the BiLSTM; the one with the best dev figure counts."""
    batch_size: int = 32
    """Sentences an update."""
    learning_rate: float = 1e-3
    """Peak, reached after a tenth of all updates."""
    dropout: float = 0.2
    """On what goes into the BiLSTM, between its layers and on what comes out."""
    precision: Precision = "float32"
    """Of the encoder; bf16 is faster where the processor has it; auto takes it there."""

    def __post_init__(self) -> None:
        for name in ("seeds", "train_rows", "width", "epochs", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        for name in ("inverse_penalty", "learning_rate"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.hold_out is not None and not 0 < self.hold_out < 1:
            raise InputError(f"hold_out must lie in (0, 1), got {self.hold_out}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must lie in [0, 1), got {self.dropout}")


Combination = Literal["concat", "sum", "learned"]
"""End to end, added up, or added up with weights that are learned with what stands above."""

_LAST_FOUR = (-4, -3, -2, -1)


@dataclass(frozen=True, kw_only=True)
class FeatureSet:
    """Some layers and what becomes of them."""

    name: str
    layers: Layers
    combination: Combination = "concat"

    def find(self, num_layers: int) -> tuple[int, ...] | None:
        """The layers' numbers in a model of so many; None where it has too few."""
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
    # the demonstration with DistilBERT: accuracy on a quarter of 2,000 training sentences
    ("SST-2-sentences", "cls", "last"): 0.82,
}
"""By benchmark, pooling and feature set."""


def find_feature_sets(names: Sequence[str]) -> tuple[FeatureSet, ...]:
    """The sets of these names, in the order given; all of them where there are none."""
    known = {one.name: one for one in FEATURE_SETS}
    names = [name.strip() for one in names for name in one.split(",")]
    for name in names:
        if name not in known:
            raise InputError(f"there are no features {name!r}: use {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names)) or FEATURE_SETS
