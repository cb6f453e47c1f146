"""The rows of the paper's Table 7, and what others published of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bertkit.foundation.errors import InputError
from bertkit.inference.feature_layers import Layers, find_layers

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
