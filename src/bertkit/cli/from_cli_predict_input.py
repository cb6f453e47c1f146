"""What `predict` reads: lines, tables in parts, or a file in a layout of the task's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bertkit.cli.texts import TaskInputOptions, read_text_chunks
from bertkit.data.rows import RowOptions
from bertkit.data.sources import HubDataset, resolve_sources
from bertkit.data.table_parts import read_table_parts
from bertkit.data.text_stream import BytesSeen, EncodingErrors
from bertkit.foundation.errors import InputError

if TYPE_CHECKING:
    from bertkit.tasks.contract import Task
    from bertkit.tasks.examples import Examples


@dataclass(frozen=True)
class Part:
    """Examples of one stretch of the input, and their ids where a column has them."""

    examples: Examples
    ids: Sequence[Any] | None = None


class PredictInput:
    """All that is to be predicted from."""

    def __init__(self, task: Task[Any], texts: Sequence[str], options: TaskInputOptions) -> None:
        self._task, self._texts, self._options = task, texts, options
        known = options.input is not None and options.input != "-"
        self._total_bytes = sum(source.num_bytes for source in resolve_sources([str(options.input)])) if known else 0
        self._read_bytes = 0

    def parts(self) -> Iterator[Part]:
        """In parts of bounded size, but for a file of the task's own layout."""
        return _parts(self._task, self._texts, self._options, self._see)

    def share_read(self) -> float | None:
        """How much of the input has been read; None where its size is not known."""
        return min(1.0, self._read_bytes / self._total_bytes) if self._total_bytes else None

    def _see(self, count: int) -> None:
        self._read_bytes += count


def _parts(task: Task[Any], texts: Sequence[str], options: TaskInputOptions, bytes_seen: BytesSeen) -> Iterator[Part]:
    named = [f"--{name}" for name in ("text", "text-pair", "choices", "id") if getattr(options, name.replace("-", "_"))]
    if texts or options.input in (None, "-"):
        if named:
            raise InputError(f"{named[0]} names a table's column: give the table with --input FILE")
        return _lines(task, texts, options, bytes_seen)
    assert options.input is not None
    source = resolve_sources([options.input])[0]
    if not isinstance(source, HubDataset) and task.has_own_layout(source.path):
        if named:
            raise InputError(f"{options.input} is no table: leave {named[0]} out")
        return _whole(task, options.input, options.encoding_errors)
    if not isinstance(source, HubDataset) and (source.format == "text" or options.pair):
        if named:
            raise InputError(f"{options.input} has a text a line and no columns: leave {named[0]} out")
        return _lines(task, texts, options, bytes_seen)
    return _tables(task, options, bytes_seen)


def _lines(task: Task[Any], texts: Sequence[str], options: TaskInputOptions, bytes_seen: BytesSeen) -> Iterator[Part]:
    for chunk in read_text_chunks(texts, options, bytes_seen):
        yield Part(task.examples([task.parse_line(text) if isinstance(text, str) else text for text in chunk]))


def _whole(task: Task[Any], source: str, encoding_errors: EncodingErrors) -> Iterator[Part]:
    yield Part(task.read(source, replace(task.columns, encoding_errors=encoding_errors), labelled=False))


def _tables(task: Task[Any], options: TaskInputOptions, bytes_seen: BytesSeen) -> Iterator[Part]:
    columns = task.columns.changed(
        text=options.text, text_pair=options.text_pair, choices=options.choices, header=options.header
    )
    columns = replace(columns, broken_rows="skip")  # every row gets its prediction
    id_column = None if options.id is None else columns.typed(options.id)
    names = [*columns.inputs, *([] if id_column is None else [id_column])]
    rows = RowOptions(
        columns=tuple(dict.fromkeys(names)),
        header=columns.header,
        encoding_errors=options.encoding_errors,
        pad_short_rows=True,
    )
    assert options.input is not None
    for table in read_table_parts(options.input, rows, bytes_seen):
        yield Part(task.read(table, columns, labelled=False), None if id_column is None else table.columns[id_column])
