"""Users' labelled tables, held in memory by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertkit.data.rows import RowOptions, read_rows
from bertkit.data.sources import no_rows, resolve_sources
from bertkit.data.text_stream import EncodingErrors


@dataclass(frozen=True)
class Table:
    """Values by column, as the file has them (text in CSV and TSV), and where each row stands."""

    columns: dict[str | int, list[Any]]
    origins: list[tuple[str, int]]
    """File or data set and row number (in text files the line's, counted from 1) of each row."""
    remarks: tuple[str, ...] = ()
    """What was found odd on reading, counted, a line each."""

    def __len__(self) -> int:
        return len(self.origins)

    def place(self, index: int) -> str:
        """Where a row stands, for messages."""
        source, row = self.origins[index]
        return f"{source}, row {row}"


TableSource = str | Path | Table
"""A file, folder, glob or hub data set, or a table that has been read."""


def read_table(
    source: TableSource,
    *,
    columns: Sequence[str | int],
    header: bool = True,
    encoding_errors: EncodingErrors = "strict",
    split: str = "train",
    pad_short_rows: bool = False,
) -> Table:
    """Read columns, by name or place from 0, of a file, folder, glob or hub data set; a table stays as it is.

    CSV fields may be quoted; TSV is split at tabs and nothing else. `header` False is for CSV and TSV without a line
    of names. Raises `InputError` for a missing column (naming those there are), a short row (naming it; with
    `pad_short_rows` it ends in None), a CSV row with more fields than the first line, or no rows.
    """
    if isinstance(source, Table):
        return source
    options = RowOptions(
        columns=tuple(columns),
        header=header,
        encoding_errors=encoding_errors,
        split=split,
        pad_short_rows=pad_short_rows,
    )
    rows: list[tuple[Any, ...]] = []
    origins: list[tuple[str, int]] = []
    long_rows: list[str] = []
    for part in resolve_sources([source]):
        for number, values in read_rows(part, options, long_row_seen=long_rows.append):
            rows.append(values)
            origins.append((part.origin, number))
    if not rows:
        raise no_rows(source)
    return table_of(columns, rows, origins, long_rows)


def table_of(
    columns: Sequence[str | int],
    rows: Sequence[tuple[Any, ...]],
    origins: list[tuple[str, int]],
    long_rows: Sequence[str],
) -> Table:
    """The table of rows; `long_rows` are the places of those that have more fields than the first line."""
    remarks: tuple[str, ...] = ()
    if long_rows:
        text = "rows have more fields than the first line, as if a text held a tab: the last ones are not read"
        remarks = (f"{len(long_rows):,} {text} (the first: {long_rows[0]})",)
    return Table({column: [row[place] for row in rows] for place, column in enumerate(columns)}, origins, remarks)
