"""Examples from labelled tables, and checks of what a caller hands over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bertkit.core.errors import InputError
from bertkit.data.readers.tables import Table, TableSource, read_table
from bertkit.tasks.examples import Indices
from bertkit.tasks.options import Columns
from bertkit.text.sequences import EncodedExample
from bertkit.text.tokenizer import Tokenizer


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


@dataclass(frozen=True, kw_only=True)
class LabelledExamples:
    """Texts or pairs with their labels as the table has them, and the place of each row."""

    texts: tuple[str, ...]
    text_pairs: tuple[str, ...] | None
    labels: tuple[object, ...]
    places: tuple[str, ...]
    """File and row, for messages."""
    warnings: tuple[str, ...] = ()

    @classmethod
    def unlabelled(cls, texts: Sequence[Any]) -> LabelledExamples:
        """Texts, or pairs of texts, whose labels are None; `InputError` for anything else."""
        if is_pair(texts) and isinstance(texts, tuple):
            raise InputError(
                "a tuple of two strings may be a pair or two texts: write [(a, b)] for one pair, [a, b] for two"
            )
        labels, places = (None,) * len(texts), tuple(f"text {index}" for index in range(len(texts)))
        if not len(texts) or isinstance(texts[0], str):
            return cls(texts=tuple(checked_texts(texts)), text_pairs=None, labels=labels, places=places)
        pairs = checked_pairs(texts)
        first, second = (tuple(pair[side] for pair in pairs) for side in (0, 1))
        return cls(texts=first, text_pairs=second, labels=labels, places=places)

    def __len__(self) -> int:
        return len(self.texts)

    def place(self, index: int) -> str:
        """File and row of an example."""
        return self.places[index]

    def take(self, indices: Indices) -> LabelledExamples:
        """The examples at `indices`, in that order."""
        return LabelledExamples(
            texts=tuple(self.texts[index] for index in indices),
            text_pairs=None if self.text_pairs is None else tuple(self.text_pairs[index] for index in indices),
            labels=tuple(self.labels[index] for index in indices),
            places=tuple(self.places[index] for index in indices),
            warnings=self.warnings,
        )

    def record(self, index: int) -> dict[str, Any]:
        """The text or texts."""
        pair = {} if self.text_pairs is None else {"text_pair": self.text_pairs[index]}
        return {"text": self.texts[index], **pair}

    def marked_text(self, index: int) -> str:
        """The first text."""
        return self.texts[index]

    def encode(self, tokenizer: Tokenizer, max_length: int) -> list[EncodedExample]:
        """Token ids, cut to `max_length` tokens."""
        return tokenizer.encode_batch(self.texts, self.text_pairs, max_length=max_length)


def read_examples(
    source: TableSource,
    columns: Columns,
    *,
    split: str = "train",
    where: tuple[str, str] | None = None,
    labelled: bool = True,
    label_columns: tuple[str, ...] = (),
) -> LabelledExamples:
    """Read a table; `where` (column, value) keeps the rows with that value, `split` is for hub data sets.

    Without `labelled` the labels are None and their column may be missing. With `label_columns`, in place of that of
    `columns`, a label is a dictionary of their cells.

    Raises `InputError` for a missing column and for an empty text, with its row.
    """
    pair = () if columns.text_pair is None else (columns.text_pair,)
    condition = () if where is None else (where[0],)
    label = (label_columns or (columns.label,)) if labelled else ()
    table = read_table(
        source,
        columns=[columns.text, *label, *pair, *condition],
        header=columns.header,
        encoding_errors=columns.encoding_errors,
        split=split,
        pad_short_rows=columns.broken_rows == "skip",
    )
    rows = [index for index in range(len(table)) if where is None or table.columns[where[0]][index] == where[1]]
    if not rows:
        raise InputError(f"{source} has no row whose {where} is as asked for: check the file")
    rows, warnings = _whole_rows(table, rows, (columns.text, *pair), label, columns)
    return LabelledExamples(
        texts=tuple(table.columns[columns.text][index] or "" for index in rows),
        text_pairs=tuple(table.columns[pair[0]][index] or "" for index in rows) if pair else None,
        labels=tuple(_label(table, index, label, as_row=bool(label_columns)) for index in rows),
        places=tuple(table.place(index) for index in rows),
        warnings=table.warnings + warnings,
    )


def _label(table: Table, index: int, columns: Sequence[str | int], *, as_row: bool) -> object:
    if as_row and columns:
        return {column: table.columns[column][index] for column in columns}
    return table.columns[columns[0]][index] if columns else None


def _whole_rows(
    table: Table, rows: list[int], texts: Sequence[str | int], label: Sequence[str | int], columns: Columns
) -> tuple[list[int], tuple[str, ...]]:
    """The rows to read and what to say of the others; `InputError` for a broken one where that is not allowed."""
    broken = {index for column in label for index in rows if table.columns[column][index] in (None, "")}
    for column in texts:
        for index in rows:
            text = table.columns[column][index]
            if isinstance(text, str) and text.strip():
                continue
            if columns.broken_rows == "refuse" or not isinstance(text, str | None):
                raise InputError(f"{table.place(index)}: column {column!r} holds {text!r} and no text: mend the row")
            broken.add(index)
    if not broken or columns.broken_rows == "refuse":
        return rows, ()
    count = f"{len(broken):,} of {len(rows):,} rows lack a field or a text and are"
    if not label:
        return rows, (f"{count} read with an empty one, the first: {table.place(min(broken))}",)
    if len(broken) == len(rows):
        raise InputError(f"{table.place(rows[0])} and all others lack a field or a text: check the file")
    return [index for index in rows if index not in broken], (
        f"{count} left out, the first: {table.place(min(broken))}",
    )
