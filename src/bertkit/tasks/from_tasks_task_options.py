"""What only some families of tasks let a person choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from bertkit.foundation.errors import InputError

Context = Literal["sentence", "document"]


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Options of questions about a text and of tags; other families have none."""

    doc_stride: int = 128
    """Pieces from the start of one window of a long text to the start of the next."""
    max_question_length: int = 64
    """Pieces that a question is cut to."""
    max_answer_length: int = 30
    """Pieces of the longest answer."""
    n_best: int = 20
    """Likeliest starts and ends that are combined, and answers that a prediction lists at most."""
    joint: bool = False
    """Choose the answer by probabilities over all valid spans, those of equal texts added up, instead of by the sum of
    one score for the start and one for the end."""
    context: Context = "sentence"
    """For tags: whether the model reads the sentence alone, or with its neighbours in the document up to the maximal
    length."""

    def __post_init__(self) -> None:
        for name in ("doc_stride", "max_question_length", "max_answer_length", "n_best"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")

    def check(self, kind: str, known: Sequence[str]) -> None:
        """Raise `InputError` where an option is chosen that a task of this kind, with its `known` ones, ignores."""
        for entry in fields(self):
            if entry.name not in known and getattr(self, entry.name) != entry.default:
                raise InputError(f"{entry.name} has no meaning for {kind}: leave it out")
