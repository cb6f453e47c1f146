"""What a person chooses for a task: columns and options. Apart from the kinds, which need torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from bertkit.core.arguments import checked
from bertkit.core.errors import InputError
from bertkit.data.readers.text import EncodingErrors

Context = Literal["sentence", "document"]


@checked
@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Options of single kinds, which name those they heed in `known_options`."""

    doc_stride: int = 128
    """For questions: tokens from the start of one window of a long text to the start of the next."""
    max_question_length: int = 64
    """For questions: tokens that a question is cut to."""
    max_answer_length: int = 30
    """For questions: tokens of the longest answer."""
    n_best: int = 20
    """For questions: how many of the most probable starts and ends are combined, and how many answers are listed."""
    joint: bool = False
    """For questions: choose the answer by its probability among all valid spans, added up over spans of the same text,
    instead of by the sum of a score for the start and one for the end."""
    context: Context = "sentence"
    """For tags: whether the model reads a sentence alone, or with its neighbours in the document up to the maximal
    length."""
    label_separator: str = ","
    """For multi-label: what separates the labels in a cell of text."""

    def __post_init__(self) -> None:
        for name in ("doc_stride", "max_question_length", "max_answer_length", "n_best"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.label_separator:
            raise InputError("label_separator is empty: give what is between labels")

    def check(self, kind: str, known: Sequence[str]) -> None:
        """Raise `InputError` where an option is chosen that a task of this kind, with its `known` ones, ignores."""
        for entry in fields(self):
            if entry.name not in known and getattr(self, entry.name) != entry.default:
                raise InputError(f"{entry.name} has no meaning for {kind}: leave it out")


@checked
@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a person names the columns of a labelled table, and how it is read.

    None is what the kind of task usually has; where a fine-tuned model is measured, what its fine-tuning had.
    """

    text: str | None = None
    """Column of the text, usually "text"; of span-extraction that of the question, usually "question"."""
    text_pair: str | None = None
    """Column of the second text of pairs; of span-extraction that of the context; of multiple-choice that of the
    beginning of every choice, where there is one."""
    label: str | None = None
    """Column of the class, score or right choice, usually "label"; of multi-label a list of labels, or a text with
    commas between them, or a,b,c for a column of 0 and 1 each; of the answers, usually "answers"; of tagging a list of
    tags or spans, usually "spans"."""
    choices: tuple[str, ...] | None = None
    """Columns of multiple-choice, one each, or one with lists, usually "choices"."""
    header: bool | None = None
    """Whether the first line of CSV and TSV names the columns; with --no-header they are named by number, from 0."""
    encoding_errors: EncodingErrors | None = None
    """What becomes of bytes that are not UTF-8; unless given they are refused."""

    @property
    def columns(self) -> dict[str, object]:
        """The columns that are named, by option."""
        named = {name: getattr(self, name) for name in ("text", "text_pair", "label", "choices")}
        return {name: column for name, column in named.items() if column is not None}

    def check(self, kind: str, known: Sequence[str]) -> None:
        """Raise `InputError` for a column that a task of this kind, with its `known` ones, does not have."""
        refuse_given(
            f"{kind} has no such column", {name: self.columns[name] for name in self.columns if name not in known}
        )


def refuse_given(reason: str, options: Mapping[str, object]) -> None:
    """Raise `InputError` with the reason and the names of the options that are not None, if there are any."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if given:
        raise InputError(f"{reason}: leave {', '.join(given)} out")


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

    @property
    def inputs(self) -> tuple[str | int, ...]:
        """All that a prediction needs: every column but the label's."""
        pair = () if self.text_pair is None else (self.text_pair,)
        return (self.text, *pair, *self.choices)

    def typed(self, column: str) -> str | int:
        """A column of the same table as a person types it."""
        return _column(column, header=self.header)

    def changed(self, table: TableOptions) -> Columns:
        """These columns, but for what a person typed; without a header the names are places from 0."""
        if table == TableOptions():
            return self
        header = self.header if table.header is None else table.header
        pair = self.text_pair if table.text_pair is None else table.text_pair
        choices = self.choices if table.choices is None else table.choices
        return Columns(
            text=_column(self.text if table.text is None else table.text, header=header),
            text_pair=None if pair is None else _column(pair, header=header),
            label=_column(self.label if table.label is None else table.label, header=header),
            choices=tuple(_column(choice, header=header) for choice in choices),
            header=header,
            broken_rows=self.broken_rows,
            encoding_errors=table.encoding_errors or self.encoding_errors,
        )


def _column(typed: str | int, *, header: bool) -> str | int:
    if header:
        return str(typed)
    if isinstance(typed, str) and not typed.isdecimal():
        raise InputError(f"column {typed!r} of a table without a header: give its place, counted from 0")
    return int(typed)
