"""Tables that do not fit memory, in parts that do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertkit.data.rows import RowOptions, read_rows
from bertkit.data.sources import no_rows, resolve_sources
from bertkit.data.tables import Table, table_of
from bertkit.data.text_stream import BytesSeen

_MAX_ROWS = 8192
_MAX_CHARACTERS = 1 << 24


def read_table_parts(
    source: str | Path, options: RowOptions, bytes_seen: BytesSeen = lambda count: None
) -> Iterator[Table]:
    """Yield the rows of a file, folder, glob or hub data set in tables of bounded size.

    Raises `InputError` as `read_rows` does, and for a source without rows.
    """
    rows: list[tuple[Any, ...]] = []
    origins: list[tuple[str, int]] = []
    long_rows: list[str] = []
    characters = 0
    is_empty = True
    for part in resolve_sources([source]):
        for number, values in read_rows(part, options, bytes_seen, long_rows.append):
            rows.append(values)
            origins.append((part.origin, number))
            characters += sum(map(_characters, values))
            if len(rows) == _MAX_ROWS or characters > _MAX_CHARACTERS:
                yield table_of(options.columns, rows, origins, long_rows)
                rows, origins, characters = [], [], 0
                long_rows.clear()
            is_empty = False
    if is_empty:
        raise no_rows(source)
    if rows:
        yield table_of(options.columns, rows, origins, long_rows)


def _characters(value: Any) -> int:
    """Of a text, or of a list of texts."""
    if isinstance(value, str):
        return len(value)
    return sum(map(_characters, value)) if isinstance(value, list) else 0
