"""Precision, recall and F1 of entities, as `conlleval` counts them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bertkit.tasks.iob import entities


def entity_scores(predicted: Iterable[Sequence[str]], gold: Iterable[Sequence[str]]) -> dict[str, float]:
    """Over all sentences: an entity is right if its type and both its ends are; 0 where nothing is to be divided."""
    found = wanted = right = 0
    for tags, gold_tags in zip(predicted, gold, strict=True):
        ours, theirs = set(entities(tags)), set(entities(gold_tags))
        found += len(ours)
        wanted += len(theirs)
        right += len(ours & theirs)
    return {
        "f1": 2 * right / (found + wanted) if found + wanted else 0.0,
        "precision": right / found if found else 0.0,
        "recall": right / wanted if wanted else 0.0,
    }
