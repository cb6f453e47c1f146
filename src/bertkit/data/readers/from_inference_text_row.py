"""A text with what it is called."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text and its id: a column's, or its running number from 1, which in a text file is its line's."""

    id: int | str
    text: str
