"""Entities as IOB tags in all their spellings, and scores of entities as `conlleval` counts them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OUTSIDE = "O"
_TAG = re.compile(r"[BIESLUM]-.+|[BI]")
_PREFIXES = {"S": "B", "U": "B", "E": "I", "L": "I", "M": "I"}


@dataclass(frozen=True, slots=True)
class Entity:
    """Words `first` up to `last` (exclusive)."""

    label: str
    first: int
    last: int


def is_entity_tag(tag: str) -> bool:
    """Whether a tag is `O` or a prefix with a type."""
    return tag == OUTSIDE or _TAG.fullmatch(tag) is not None


def is_entity_tags(tags: Iterable[str]) -> bool:
    """Whether all tags are `O` or a prefix with a type."""
    return all(map(is_entity_tag, tags))


def mostly_entities(tags: Iterable[str]) -> bool:
    """Whether at least half of the words' tags but `O` are a prefix with a type; the others are slips of the pen."""
    inside = [tag for tag in tags if tag != OUTSIDE]
    return 2 * sum(map(is_entity_tag, inside)) >= len(inside)


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a sentence as `conlleval` counts them.

    One starts at `B-`, and at `I-` behind another type or `O`; so IOB1 and broken IOB2 are read without change.
    """
    found: list[Entity] = []
    first, label = 0, None
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, kind = _parts(tag)
        continues = prefix == "I" and kind == label
        if label is not None and not continues:
            found.append(Entity(label, first, place))
        if not continues:
            first, label = place, kind
    return found


def to_iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """The same entities, each starting with `B-`."""
    return entity_tags(entities(tags), len(tags))


def entity_tags(found: Iterable[Entity], length: int) -> tuple[str, ...]:
    """IOB2 tags of entities that do not overlap, in a sentence of so many words."""
    tags = [OUTSIDE] * length
    for entity in found:
        suffix = f"-{entity.label}" if entity.label else ""
        tags[entity.first : entity.last] = [f"I{suffix}"] * (entity.last - entity.first)
        tags[entity.first] = f"B{suffix}"
    return tuple(tags)


def loose_starts(tags: Sequence[str]) -> list[int]:
    """Words with `I-` that start an entity, as IOB1 has them and IOB2 does not."""
    return [entity.first for entity in entities(tags) if _parts(tags[entity.first])[0] == "I"]


def needless_begins(tags: Sequence[str]) -> list[int]:
    """Words with `B-` behind no entity of their type, as IOB2 has them and IOB1 does not."""
    parts = [_parts(tag) for tag in tags]
    before = [None, *(kind for _, kind in parts)]
    return [
        place
        for place, ((prefix, kind), last) in enumerate(zip(parts, before, strict=False))
        if prefix == "B" and kind != last
    ]


def _parts(tag: str) -> tuple[str, str | None]:
    """Prefix `B`, `I` or `O`, and the type."""
    if tag == OUTSIDE:
        return OUTSIDE, None
    prefix, _, kind = tag.partition("-")
    return _PREFIXES.get(prefix, prefix), kind


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
