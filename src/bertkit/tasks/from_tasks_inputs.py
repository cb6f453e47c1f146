"""Texts and pairs of texts as a caller hands them over."""

from __future__ import annotations

from collections.abc import Sequence

from bertkit.foundation.errors import InputError


def checked_texts(texts: Sequence[object]) -> list[str]:
    """The texts as a list; `InputError` for what is no string, with its place."""
    checked = []
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {index} is {shortened(text)}: give a string")
        checked.append(text)
    return checked


def checked_pairs(pairs: Sequence[object]) -> list[tuple[str, str]]:
    """The pairs as a list; `InputError` for what is no pair of strings, with its place."""
    checked = []
    for index, pair in enumerate(pairs):
        if not is_pair(pair):
            raise InputError(f"text {index} is {shortened(pair)}: give strings only, or pairs of strings only")
        checked.append((pair[0], pair[1]))  # type: ignore[index]
    return checked


def is_pair(value: object) -> bool:
    """Whether `value` is a tuple or list of two strings."""
    return isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(text, str) for text in value)


def shortened(value: object) -> str:
    """`repr`, cut for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
