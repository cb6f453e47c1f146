"""Examples read from a labelled table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertkit.data.tables import read_table
from bertkit.foundation.errors import InputError
from bertkit.tasks.columns import Columns
from bertkit.text.encoded_example import EncodedExample
from bertkit.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class LabelledExamples:
    """Texts or pairs with their labels as the table has them, and where each row stands."""

    texts: tuple[str, ...]
    text_pairs: tuple[str, ...] | None
    labels: tuple[object, ...]
    places: tuple[str, ...]
    """File and row, for messages."""

    def __len__(self) -> int:
        return len(self.texts)

    def place(self, index: int) -> str:
        """File and row of an example."""
        return self.places[index]

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> LabelledExamples:
        """The examples at `indices`, in that order."""
        return LabelledExamples(
            texts=tuple(self.texts[index] for index in indices),
            text_pairs=None if self.text_pairs is None else tuple(self.text_pairs[index] for index in indices),
            labels=tuple(self.labels[index] for index in indices),
            places=tuple(self.places[index] for index in indices),
        )

    def encode(self, tokenizer: Tokenizer, max_length: int) -> list[EncodedExample]:
        """Token ids, cut to `max_length` tokens."""
        return tokenizer.encode_batch(self.texts, self.text_pairs, max_length=max_length)


def read_examples(
    source: str | Path, columns: Columns, *, split: str = "train", where: tuple[str, str] | None = None
) -> LabelledExamples:
    """Read a table; `where` (column, value) keeps the rows with that value, `split` is for hub data sets.

    Raises `InputError` for a missing column and for an empty text, with its row.
    """
    pair = () if columns.text_pair is None else (columns.text_pair,)
    condition = () if where is None else (where[0],)
    table = read_table(
        source, columns=[columns.text, columns.label, *pair, *condition], header=columns.header, split=split
    )
    rows = [index for index in range(len(table)) if where is None or table.columns[where[0]][index] == where[1]]
    if not rows:
        raise InputError(f"{source} has no row whose {where} is as asked for: check the file")
    for column in (columns.text, *pair):
        for index in rows:
            text = table.columns[column][index]
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"{table.place(index)}: column {column!r} holds {text!r} and no text: mend the row")
    return LabelledExamples(
        texts=tuple(table.columns[columns.text][index] for index in rows),
        text_pairs=tuple(table.columns[pair[0]][index] for index in rows) if pair else None,
        labels=tuple(table.columns[columns.label][index] for index in rows),
        places=tuple(table.place(index) for index in rows),
    )
