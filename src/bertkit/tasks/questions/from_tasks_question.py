"""A question about a text that may hold the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bertkit.tasks.examples import Records


@dataclass(frozen=True, slots=True)
class Answer:
    """What answers the question, and where it starts in the context, None where it is not in there."""

    text: str
    start: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """With `context` and, where they are known, `answers`; one without any has no answer in the context."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...]
    place: str

    @property
    def marked_text(self) -> str:
        """The context."""
        return self.context

    def record(self) -> dict[str, Any]:
        """What a line of JSON shows."""
        return {"id": self.id, "question": self.question}


Questions = Records[Question]


def find_answer(context: str, text: str, start: int | None) -> Answer:
    """Where `text` stands in the context: at `start`, else at the occurrence next to it."""
    if start is not None and start >= 0 and text and context.startswith(text, start):
        return Answer(text, start)
    if not text or (found := context.find(text)) < 0:
        return Answer(text, None)
    if start is not None:
        after, before = context.find(text, max(0, start)), context.rfind(text, 0, max(0, start) + len(text))
        found = min((place for place in (before, after) if place >= 0), key=lambda place: abs(place - start))
    return Answer(text, found)
