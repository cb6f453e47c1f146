"""Tables of CSV, TSV, JSONL, Parquet and the hub: row by row, whole, or in parts of bounded size."""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertkit.core.errors import InputError, ResourceError
from bertkit.core.files import unreadable
from bertkit.data.readers.sources import HubDataset, Source, SourceFile, no_rows, resolve_sources
from bertkit.data.readers.text import MAX_DOCUMENT_BYTES, BytesSeen, EncodingErrors, text_lines

Row = tuple[int, tuple[Any, ...]]
"""Row number (that of the line in text files, counted from 1) and the values of the columns asked for."""

LongRowSeen = Callable[[str], None]
"""Called with the place, for messages, of a TSV row that has more fields than the first line."""


@dataclass(frozen=True, kw_only=True)
class RowOptions:
    """Which columns of a table are read, and how."""

    columns: tuple[str | int, ...]
    """Names, or places counted from 0."""

    header: bool = True
    """Whether a CSV or TSV file's first line names the columns."""

    encoding_errors: EncodingErrors = "strict"
    split: str = "train"
    """Split of a hub data set."""

    pad_short_rows: bool = False
    """Whether a CSV or TSV row that ends before a column has None there, in place of an error."""


def read_rows(
    source: Source,
    options: RowOptions,
    bytes_seen: BytesSeen = lambda count: None,
    long_row_seen: LongRowSeen = lambda place: None,
) -> Iterator[Row]:
    """Yield the rows of one source in order, streaming.

    CSV fields may be quoted; TSV fields may not: a tab always ends one, as in GLUE's files. A missing column raises
    `InputError` with those there are, a row without the column one with the row's number. So does a CSV row with more
    fields than the first line, since a comma without quotes has cut its text; a TSV row is reported to `long_row_seen`.
    """
    for number, values in _rows(source, options, bytes_seen, long_row_seen):
        for column, value in zip(options.columns, values, strict=True):
            if _is_over_limit(value):
                raise _long_field(f"{source.origin}, row {number}: the column {column!r}")
        yield number, values


def _rows(source: Source, options: RowOptions, bytes_seen: BytesSeen, long_row_seen: LongRowSeen) -> Iterator[Row]:
    if isinstance(source, HubDataset):
        return _hub_rows(source, options)
    if source.format == "parquet":
        return _parquet_rows(source, options, bytes_seen)
    if source.format == "jsonl":
        return _jsonl_rows(source.path, options, bytes_seen)
    if source.format in ("csv", "tsv"):
        return _delimited_rows(source, options, bytes_seen, long_row_seen)
    raise InputError(f"{source.path} is not a table: give .csv, .tsv, .jsonl or .parquet")


def _is_over_limit(value: Any) -> bool:
    """Whether a text, or all texts of a list, have more bytes than a document may have."""
    if not isinstance(value, str):
        return isinstance(value, list) and _characters(value) > MAX_DOCUMENT_BYTES
    # Bytes are counted only where their number is in doubt: a character has four at most.
    return 4 * len(value) > MAX_DOCUMENT_BYTES and len(value.encode("utf-8", "replace")) > MAX_DOCUMENT_BYTES


def _long_field(place: str, hint: str = "") -> InputError:
    return InputError(f"{place} holds more than {MAX_DOCUMENT_BYTES >> 20} MB: {hint}cut it into several rows")


def _delimited_rows(
    source: SourceFile, options: RowOptions, bytes_seen: BytesSeen, long_row_seen: LongRowSeen
) -> Iterator[Row]:
    lines = text_lines(source.path, options.encoding_errors, bytes_seen)
    rows = _csv_rows(lines, source.path) if source.format == "csv" else _tsv_rows(lines)
    names: list[str] | None = None
    if options.header:
        names = next(rows, (0, []))[1]
        if not names:
            raise InputError(f"{source.path} is empty: give a table whose first line names its columns")
    places = _places(options.columns, names, str(source.path))
    width = None if names is None else len(names)
    for number, fields in rows:
        width = len(fields) if width is None else width
        if len(fields) > width and source.format == "csv":
            first = "the header" if options.header else "the first row"
            raise InputError(
                f"{source.path}, row {number} has {len(fields)} fields, {first} {width}: put texts with commas in "
                "quotes"
            )
        if len(fields) > width:
            long_row_seen(f"{source.path}, row {number}")
        if len(fields) <= max(places) and not options.pad_short_rows:
            column = next(column for column, place in zip(options.columns, places, strict=True) if place >= len(fields))
            raise InputError(
                f"{source.path}, row {number} has {len(fields)} fields and no column {column!r}: fix or remove the row"
            )
        yield number, tuple(fields[place] if place < len(fields) else None for place in places)


def _csv_rows(lines: Iterator[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(MAX_DOCUMENT_BYTES)  # the library's default refuses texts of over 128 kB
    reader = csv.reader(lines, strict=True)
    number = 1
    try:
        for fields in reader:
            if fields:
                yield number, fields
            number = reader.line_num + 1
    except csv.Error as error:
        if "field larger" in str(error):
            raise _long_field(f"{path}, row {number}: a field", "close its quotes, or ") from None
        raise InputError(f"{path}, row {number} is not valid CSV ({error}): correct its quotes") from None


def _tsv_rows(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(lines, 1):
        if content := line.removesuffix("\n").removesuffix("\r"):
            yield number, content.split("\t")


def _jsonl_rows(path: Path, options: RowOptions, bytes_seen: BytesSeen) -> Iterator[Row]:
    for number, line in enumerate(text_lines(path, options.encoding_errors, bytes_seen), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except RecursionError:
            raise InputError(f"{path}, row {number} is nested too deeply to be read: correct the row") from None
        except ValueError as error:  # of the syntax, or a number of thousands of digits
            raise InputError(f"{path}, row {number} is not valid JSON ({error}): give one object a line") from None
        if not isinstance(record, dict):
            raise InputError(f"{path}, row {number} is not a JSON object: give one object a line")
        for column in options.columns:
            if line.count(f'"{column}"') > 1 and _is_repeated(line, column):
                raise _repeated(column, f"{path}, row {number}")
        yield number, _values(record, options.columns, f"{path}, row {number}")


def _parquet_rows(source: SourceFile, options: RowOptions, bytes_seen: BytesSeen) -> Iterator[Row]:
    import pyarrow as pa  # noqa: PLC0415  # 25 MB that other formats do not need
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(source.path) as file:
            places = _places(options.columns, file.schema_arrow.names, str(source.path))
            names = [file.schema_arrow.names[place] for place in places]
            if repeated := next((name for name in names if file.schema_arrow.names.count(name) > 1), None):
                raise InputError(f"{source.path} has several columns {repeated!r}: give each a name of its own")
            number = 0
            for group in range(file.metadata.num_row_groups):
                rows = _rows_at_once(source.path, file.metadata.row_group(group), names)
                for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=names):
                    values = [batch.column(name).to_pylist() for name in names]
                    for row in zip(*values, strict=True):
                        number += 1
                        yield number, row
                    bytes_seen(source.num_bytes * batch.num_rows // file.metadata.num_rows)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(source.path, error) from None
        raise InputError(f"{source.path} is not a readable Parquet file ({error}): write it again") from None


_BATCH_ROWS = 1024
_BATCH_BYTES = 1 << 26


def _rows_at_once(path: Path, group: Any, names: Sequence[str]) -> int:
    """How many rows of a row group are decoded at once, that they have about `_BATCH_BYTES`.

    A value of a dictionary may be in every row; it has at most the dictionary's bytes. Others count by their mean.
    """
    rows = _BATCH_ROWS
    for place in range(group.num_columns):
        chunk = group.column(place)
        if chunk.path_in_schema.split(".")[0] in names:
            largest = chunk.total_uncompressed_size // max(1, group.num_rows)
            if chunk.dictionary_page_offset is not None:
                largest = max(largest, _dictionary_bytes(path, chunk.dictionary_page_offset))
            rows = min(rows, _BATCH_BYTES // max(1, largest))
    return max(1, rows)


def _dictionary_bytes(path: Path, offset: int) -> int:
    """Size of a dictionary page without compression, from its header in Thrift's compact protocol (parquet.thrift)."""
    with path.open("rb") as file:
        file.seek(offset)
        header = file.read(16)
    # Fields 1, the kind of page, and 2, the size: each a byte 0x15 and a variable-length number in zigzag.
    size = shift = 0
    for byte in header[3:]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return size >> 1


def _hub_rows(source: HubDataset, options: RowOptions) -> Iterator[Row]:
    import datasets  # noqa: PLC0415  # two seconds that local files do not need

    name, _, configuration = source.name.partition(":")
    try:
        rows = datasets.load_dataset(name, configuration or None, split=options.split, streaming=True)
    except Exception as error:  # the library raises many types, for a typing error as for a missing network
        mistake = isinstance(error, FileNotFoundError | ValueError)  # the library's for an unknown name or split
        raise (InputError if mistake else ResourceError)(
            f"{source.name} is neither a file nor a data set that could be loaded ({_reason(error)}): check the name, "
            "the split and the network"
        ) from error
    for number, record in enumerate(_streamed(rows, source.name), 1):
        yield number, _values(record, options.columns, f"{source.name}, row {number}")


def _streamed(records: Iterable[dict[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    try:
        yield from records
    except Exception as error:  # of the library, the network and the files' format
        raise ResourceError(
            f"the data set {name} broke off ({_reason(error)}): check the network and run it again"
        ) from error


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _values(record: dict[str, Any], columns: Sequence[str | int], place: str) -> tuple[Any, ...]:
    for column in columns:
        if column not in record:
            raise _missing(column, list(record), place)
    return tuple(record[column] for column in columns)  # type: ignore[index]  # a number is no key: refused above


def _is_repeated(line: str, column: str | int) -> bool:
    """Whether an object has a key twice, of which JSON would keep the last."""
    objects: list[list[tuple[str, Any]]] = []
    json.loads(line, object_pairs_hook=objects.append)
    return [key for key, _ in objects[-1]].count(str(column)) > 1  # the outermost object ends last


def _repeated(column: str | int, place: str) -> InputError:
    return InputError(f"{place} has more than one column {column!r}: give each a name of its own")


def _places(columns: Sequence[str | int], names: list[str] | None, place: str) -> list[int]:
    """Where the columns are; `names` is None where the table has no header."""
    result = []
    for column in columns:
        if isinstance(column, int) and column >= 0 and (names is None or column < len(names)):
            result.append(column)
        elif names is None:
            raise InputError(f"{place} is read without a header: give columns by number from 0, not {column!r}")
        elif isinstance(column, int) or column not in names:
            raise _missing(column, names, place)
        elif names.count(column) > 1:
            raise _repeated(column, place)
        else:
            result.append(names.index(column))
    return result


def _missing(column: str | int, names: list[str], place: str) -> InputError:
    if not names:
        return InputError(f"{place} has no column {column!r}, nor any other: check the file")
    near = difflib.get_close_matches(str(column), names, 1)
    hint = f"did you mean {near[0]!r}?" if near else "name one of these"
    return InputError(f"{place} has no column {column!r}; it has {', '.join(map(repr, names))}: {hint}")


@dataclass(frozen=True)
class Table:
    """Values by column, as the file has them (text in CSV and TSV), and where each row is."""

    columns: dict[str | int, list[Any]]
    origins: list[tuple[str, int]]
    """File or data set and row number (in text files the line's, counted from 1) of each row."""
    warnings: tuple[str, ...] = ()
    """What was odd in the file, counted, a line each."""

    def __len__(self) -> int:
        return len(self.origins)

    def place(self, index: int) -> str:
        """Where a row is, for messages."""
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
    warnings: tuple[str, ...] = ()
    if long_rows:
        text = "rows have more fields than the first line, as if a text held a tab: the last ones are not read"
        warnings = (f"{len(long_rows):,} {text} (the first: {long_rows[0]})",)
    return Table({column: [row[place] for row in rows] for place, column in enumerate(columns)}, origins, warnings)


_MAX_ROWS = 8192
_MAX_CHARACTERS = 1 << 24


def read_table_parts(
    source: str | Path,
    options: RowOptions,
    bytes_seen: BytesSeen = lambda count: None,
    *,
    may_be_empty: bool = False,
) -> Iterator[Table]:
    """Yield the rows of a file, folder, glob or hub data set in tables of bounded size.

    Raises `InputError` as `read_rows` does, and for a source without rows unless it `may_be_empty`.
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
    if is_empty and not may_be_empty:
        raise no_rows(source)
    if rows:
        yield table_of(options.columns, rows, origins, long_rows)


def _characters(value: Any) -> int:
    """Characters of a text, or of a list of texts."""
    if isinstance(value, str):
        return len(value)
    return sum(map(_characters, value)) if isinstance(value, list) else 0
