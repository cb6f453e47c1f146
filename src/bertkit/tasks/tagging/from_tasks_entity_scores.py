"""Precision, recall and F1 of entities, as `conlleval` counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bertkit.tasks.iob import entities


@dataclass(frozen=True, slots=True)
class EntityCounts:
    """Entities predicted, entities there are, and those that are both: with the same type and the same ends."""

    found: int = 0
    wanted: int = 0
    right: int = 0

    @classmethod
    def by_label(cls, predicted: Iterable[Sequence[str]], gold: Iterable[Sequence[str]]) -> dict[str, EntityCounts]:
        """Of each type, over all sentences."""
        found: Counter[str] = Counter()
        wanted: Counter[str] = Counter()
        right: Counter[str] = Counter()
        for tags, gold_tags in zip(predicted, gold, strict=True):
            ours, theirs = set(entities(tags)), set(entities(gold_tags))
            for counter, those in ((found, ours), (wanted, theirs), (right, ours & theirs)):
                counter.update(entity.label for entity in those)
        return {label: cls(found[label], wanted[label], right[label]) for label in found | wanted}

    def __add__(self, other: EntityCounts) -> EntityCounts:
        return EntityCounts(self.found + other.found, self.wanted + other.wanted, self.right + other.right)

    @property
    def precision(self) -> float:
        """0 where nothing was predicted."""
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """0 where there is nothing."""
        return self.right / self.wanted if self.wanted else 0.0

    @property
    def f1(self) -> float:
        """0 where there is nothing to be divided."""
        return 2 * self.right / (self.found + self.wanted) if self.found + self.wanted else 0.0


def entity_scores(predicted: Iterable[Sequence[str]], gold: Iterable[Sequence[str]]) -> dict[str, float]:
    """Over all sentences and types."""
    counts = sum(EntityCounts.by_label(predicted, gold).values(), EntityCounts())
    return {"f1": counts.f1, "precision": counts.precision, "recall": counts.recall}
