"""Sentences whose words have tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bertkit.tasks.examples import Records


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """All words of a document, in order."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sentence:
    """The words `first` up to `last` of a document; `spans` are their places in `text`, in characters."""

    document: Document
    first: int
    last: int
    text: str
    spans: tuple[tuple[int, int], ...]
    tags: tuple[str, ...] | None
    """One a word, entities in IOB2; None where they are not known."""
    place: str

    @classmethod
    def of_text(
        cls, text: str, spans: tuple[tuple[int, int], ...], tags: tuple[str, ...] | None, place: str
    ) -> Sentence:
        """A text that is a document of its own."""
        words = tuple(text[start:end] for start, end in spans)
        return cls(document=Document(words), first=0, last=len(words), text=text, spans=spans, tags=tags, place=place)

    @property
    def words(self) -> tuple[str, ...]:
        """The sentence's own."""
        return self.document.words[self.first : self.last]

    @property
    def marked_text(self) -> str:
        """The text."""
        return self.text

    def record(self) -> dict[str, Any]:
        """What a line of JSON shows."""
        return {"text": self.text}


Sentences = Records[Sentence]


def joined(words: tuple[str, ...]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Words with a space between them, and where each stands."""
    spans, end = [], -1
    for word in words:
        start = end + 1
        end = start + len(word)
        spans.append((start, end))
    return " ".join(words), tuple(spans)
