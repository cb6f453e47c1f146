"""One labelled text, as tasks and predictors take it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """A text or a pair of texts, with its label (a class name or a score) where one is known."""

    text: str
    text_pair: str | None = None
    label: str | float | None = None
