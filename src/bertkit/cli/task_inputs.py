"""What `predict` is given: texts, tables, and files of a task's own layout, as examples of the task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from bertkit.cli.inputs import InputBytes, TaskInputOptions, file_lines, given_texts, split_pair, text_chunks
from bertkit.core.errors import InputError
from bertkit.data.readers.sources import HubDataset, Source, resolve_sources
from bertkit.data.readers.tables import RowOptions, read_table_parts
from bertkit.data.readers.text import BytesSeen
from bertkit.tasks.options import TableOptions

if TYPE_CHECKING:
    from bertkit.inference.prediction_file import ExampleSource, SomeExamples
    from bertkit.tasks.contract import Task


def task_sources(
    task: Task[Any], texts: Sequence[str], options: TaskInputOptions, read: InputBytes
) -> list[ExampleSource]:
    """The examples of the texts, or of each file of the input: in parts of bounded size, but for files of own layout.

    Of a single file the first part is read at once, and `InputError` raised where there is none.
    """
    from bertkit.inference.prediction_file import ExampleSource

    sources = list(_sources(task, texts, options, read.see))
    if len(sources) > 1:
        return [ExampleSource(origin, parts) for origin, parts in sources]
    ((origin, parts),) = sources
    first = next(parts, None)
    if first is None:
        raise InputError(f"{options.named} has no text: give one text per line")
    return [ExampleSource(origin, chain([first], parts))]


def _sources(
    task: Task[Any], texts: Sequence[str], options: TaskInputOptions, bytes_seen: BytesSeen
) -> Iterator[tuple[str, Iterator[SomeExamples]]]:
    named = [f"--{name}" for name in ("text", "text-pair", "choices", "id") if getattr(options, name.replace("-", "_"))]
    if texts or options.is_standard_input:
        if named:
            raise InputError(f"{named[0]} names a table's column: give the table with --input FILE")
        for origin, lines in given_texts(texts, options, bytes_seen):
            yield origin, _lines(task, lines, "text", pairs=options.pair)
        return
    sources = resolve_sources(options.input)
    for source in sources:
        if not isinstance(source, HubDataset):
            if task.has_own_layout(source.path):
                if named:
                    raise InputError(f"{source.origin} is no table: leave {named[0]} out")
                yield source.origin, _whole(task, source.origin, options)
                continue
            if source.format == "text" or options.pair:
                if named:
                    raise InputError(f"{source.origin} has one text per line and no columns: leave {named[0]} out")
                lines = file_lines(source.path, options, bytes_seen)
                yield source.origin, _lines(task, lines, f"{source.origin}: text", pairs=options.pair)
                continue
        yield source.origin, _table(task, source, options, bytes_seen, may_be_empty=len(sources) > 1)


def _lines(task: Task[Any], lines: Iterator[str], place: str, *, pairs: bool) -> Iterator[SomeExamples]:
    from bertkit.inference.prediction_file import SomeExamples

    texts = (split_pair(line, f"{place} {number}") if pairs else line for number, line in enumerate(lines, 1))
    for chunk in text_chunks(texts):
        yield SomeExamples(task.examples([task.parse_line(text) if isinstance(text, str) else text for text in chunk]))


def _whole(task: Task[Any], path: str, options: TaskInputOptions) -> Iterator[SomeExamples]:
    from bertkit.inference.prediction_file import SomeExamples

    columns = replace(task.columns, encoding_errors=options.encoding_errors)
    yield SomeExamples(task.read(path, columns, labelled=False))


def _table(
    task: Task[Any], source: Source, options: TaskInputOptions, bytes_seen: BytesSeen, *, may_be_empty: bool
) -> Iterator[SomeExamples]:
    from bertkit.inference.prediction_file import SomeExamples

    columns = task.columns.changed(
        TableOptions(text=options.text, text_pair=options.text_pair, choices=options.choices, header=options.header)
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
    for table in read_table_parts(source.origin, rows, bytes_seen, may_be_empty=may_be_empty):
        ids = None if id_column is None else table.columns[id_column]
        yield SomeExamples(task.read(table, columns, labelled=False), ids)
