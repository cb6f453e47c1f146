"""- columns and choices of a person (torch-free)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from bertkit.core.errors import InputError
from bertkit.data.readers.text import EncodingErrors

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


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Columns by name, or by place from 0 where a file has no line of names."""

    text: str | int = "text"
    text_pair: str | int | None = None
    label: str | int = "label"
    choices: tuple[str | int, ...] = ()
    """Of multiple choice: one column a choice, or a column of lists."""
    header: bool = True
    broken_rows: Literal["refuse", "skip"] = "refuse"
    """What becomes of rows that lack a field or a text: an error, or they are left out and counted. Where predictions
    are asked for, each row gets one, and what is missing is read as empty."""

    encoding_errors: EncodingErrors = "strict"

    def __post_init__(self) -> None:
        chosen = [column for column in (self.text, self.text_pair, self.label, *self.choices) if column is not None]
        for column in chosen:
            if chosen.count(column) > 1:
                raise InputError(f"column {column!r} is named twice: text, text pair and label are different columns")

    @classmethod
    def restore(cls, description: Mapping[str, Any]) -> Columns:
        """From what a file says."""
        return cls(**{**description, "choices": tuple(description.get("choices", ()))})

    @property
    def inputs(self) -> tuple[str | int, ...]:
        """All that a prediction needs: every column but the label's."""
        pair = () if self.text_pair is None else (self.text_pair,)
        return (self.text, *pair, *self.choices)

    def typed(self, column: str) -> str | int:
        """A column of the same table as a person types it."""
        return _column(column, header=self.header)

    def changed(
        self,
        *,
        text: str | None = None,
        text_pair: str | None = None,
        label: str | None = None,
        choices: Sequence[str] | None = None,
        header: bool | None = None,
        encoding_errors: EncodingErrors | None = None,
    ) -> Columns:
        """These columns, but for what a person typed; without a header the names are places from 0."""
        if all(change is None for change in (text, text_pair, label, choices, header, encoding_errors)):
            return self
        header = self.header if header is None else header
        pair = self.text_pair if text_pair is None else text_pair
        return Columns(
            text=_column(self.text if text is None else text, header=header),
            text_pair=None if pair is None else _column(pair, header=header),
            label=_column(self.label if label is None else label, header=header),
            choices=tuple(_column(choice, header=header) for choice in (self.choices if choices is None else choices)),
            header=header,
            broken_rows=self.broken_rows,
            encoding_errors=encoding_errors or self.encoding_errors,
        )


def _column(typed: str | int, *, header: bool) -> str | int:
    if header:
        return str(typed)
    if isinstance(typed, str) and not typed.isdecimal():
        raise InputError(f"column {typed!r} of a table without a header: give its place, counted from 0")
    return int(typed)
