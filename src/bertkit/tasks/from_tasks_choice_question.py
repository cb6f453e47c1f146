"""A question with choices, one of which is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bertkit.tasks.examples import Records


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceQuestion:
    """`right` is the place of the right one among `choices`, None where it is not known."""

    question: str
    choices: tuple[str, ...]
    right: int | None
    place: str

    @property
    def marked_text(self) -> str:
        """The question."""
        return self.question

    def record(self) -> dict[str, Any]:
        """What a line of JSON shows."""
        return {"question": self.question, "choices": list(self.choices)}


ChoiceQuestions = Records[ChoiceQuestion]
