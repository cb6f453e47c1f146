"""Entities as tags of words: IOB1, IOB2 and IOBES."""

from __future__ import annotations

import re
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
