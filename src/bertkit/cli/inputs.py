"""Texts that a command is given: as arguments, on standard input, in files of lines or in columns of tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from bertkit.core.errors import InputError
from bertkit.data.readers.sources import HubDataset, no_rows, resolve_sources
from bertkit.data.readers.tables import RowOptions, read_rows
from bertkit.data.readers.text import BytesSeen, EncodingErrors, TextRow, text_lines

_CHUNK_TEXTS = 8192
_CHUNK_CHARACTERS = 1 << 24
_STANDARD_INPUT = "/dev/stdin"

Text = str | tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """A file, folder, glob or hub data set of texts, in place of arguments.

    Parameters
    ----------
    input
        Texts, one per line; with --text a table. - is standard input, which is also read when no text is given.
    text
        Column of the text in a table (CSV, TSV, JSONL, Parquet, hub data set).
    encoding_errors
        What becomes of bytes that are not UTF-8.
    """

    input: str | None = None
    text: str | None = None
    encoding_errors: EncodingErrors = "strict"


@dataclass(frozen=True, kw_only=True)
class TextRowOptions(InputOptions):
    """The same with ids.

    Parameters
    ----------
    id
        Column of the texts' ids in a table, words or whole numbers; unless given, texts are numbered from 1.
    """

    id: str | None = None


def input_files(options: InputOptions) -> list[Path]:
    """The files that no output may replace. A model's have suffixes that no output has."""
    sources = [] if options.input in (None, "-") else resolve_sources([str(options.input)])
    return [source.path for source in sources if not isinstance(source, HubDataset)]


def read_text_chunks(
    arguments: Sequence[str],
    options: InputOptions,
    bytes_seen: BytesSeen = lambda count: None,
    *,
    pairs: bool = False,
) -> Iterator[list[Text]]:
    """Yield the texts of the arguments, or of the input, in lists of bounded size; none at all raises `InputError`.

    With `pairs` every line is two texts with a tab between them.
    """
    if arguments and options.input is not None:
        raise InputError("texts were given both as arguments and with --input: give one of them")
    texts: Iterable[Text]
    if options.text is not None:
        texts = _table_texts(options, options.text, bytes_seen)
    else:
        lines = enumerate(arguments, 1) if arguments else _numbered_lines(options, bytes_seen)
        texts = (_split(line, number) if pairs else line for number, line in lines)
    chunks = _chunks(iter(texts))
    first = next(chunks, None)
    if first is None:
        raise InputError(f"{options.input or 'standard input'} has no text: give one text per line")
    return chain([first], chunks)


def _numbered_lines(options: InputOptions, bytes_seen: BytesSeen) -> Iterator[tuple[int, str]]:
    if options.input is None and sys.stdin.isatty():
        raise InputError("no text: give TEXT, --input FILE, or texts on standard input, one per line")
    if options.input in (None, "-"):
        paths = [Path(_STANDARD_INPUT)]
    else:
        assert options.input is not None
        paths = []
        for source in resolve_sources([options.input]):
            if isinstance(source, HubDataset) or source.format not in ("text", "tsv"):
                raise InputError(f"{options.input} is a table: name the column of the texts with --text")
            paths.append(source.path)
    number = 0
    for path in paths:
        for line in text_lines(path, options.encoding_errors, bytes_seen):
            number += 1
            yield number, line.removesuffix("\n").removesuffix("\r")


def _split(line: str, number: int) -> Text:
    first, tab, second = line.partition("\t")
    if not tab or "\t" in second:
        raise InputError(f"text {number} has {line.count(chr(9))} tabs: a pair is two texts with one tab between them")
    return first, second


def _table_texts(options: InputOptions, column: str, bytes_seen: BytesSeen) -> Iterator[str]:
    if options.input is None or options.input == "-":
        raise InputError("--text names a table's column: give the table with --input FILE")
    rows = RowOptions(columns=(column,), encoding_errors=options.encoding_errors)
    for source in resolve_sources([options.input]):
        for number, (value,) in read_rows(source, rows, bytes_seen):
            if not isinstance(value, str):
                raise InputError(f"{source.origin}, row {number}: column {column!r} is {value!r}, not a text")
            yield value


def _chunks(texts: Iterator[Text]) -> Iterator[list[Text]]:
    chunk: list[Text] = []
    characters = 0
    for text in texts:
        chunk.append(text)
        characters += len(text) if isinstance(text, str) else len(text[0]) + len(text[1])
        if len(chunk) == _CHUNK_TEXTS or characters > _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


class TextRows:
    """The texts of the arguments, or of the input, one after another; the first one is read at once."""

    def __init__(self, arguments: Sequence[str], options: InputOptions) -> None:
        self._options, self._read_bytes = options, 0
        column = options.id if isinstance(options, TextRowOptions) else None
        rows = self._numbered(arguments, options) if column is None else self._named(arguments, options, column)
        first = next(rows, None)
        if first is None:
            raise no_rows(options.input)
        self._rows = chain([first], rows)

    def __iter__(self) -> Iterator[TextRow]:
        return self._rows

    def share_read(self) -> float | None:
        """How much of the input has been read; None where its size is not known."""
        return min(1.0, self._read_bytes / self._total_bytes) if self._total_bytes else None

    @cached_property
    def _total_bytes(self) -> int:
        """Of the input's files; 0 where nobody knows."""
        if self._options.input in (None, "-"):
            return 0
        return sum(source.num_bytes for source in resolve_sources([str(self._options.input)]))

    def _see(self, count: int) -> None:
        self._read_bytes += count

    def _numbered(self, arguments: Sequence[str], options: InputOptions) -> Iterator[TextRow]:
        texts = chain.from_iterable(read_text_chunks(arguments, options, self._see))
        for number, text in enumerate(texts, 1):
            assert isinstance(text, str)
            yield TextRow(number, text)

    def _named(self, arguments: Sequence[str], options: InputOptions, column: str) -> Iterator[TextRow]:
        if arguments or options.text is None or options.input in (None, "-"):
            raise InputError("--id names a table's column: give the table with --input FILE and its texts with --text")
        rows = RowOptions(columns=(options.text, column), encoding_errors=options.encoding_errors)
        kind: type | None = None
        for source in resolve_sources([str(options.input)]):
            for number, (text, one) in read_rows(source, rows, self._see):
                here = f"{source.origin}, row {number}"
                if not isinstance(text, str):
                    raise InputError(f"{here}: column {options.text!r} is {text!r}, not a text")
                kind = _checked_kind(one, kind, f"{here}: column {column!r}")
                yield TextRow(one, text)


def _checked_kind(one: Any, kind: type | None, place: str) -> type:
    if type(one) not in (str, int):
        raise InputError(f"{place} is {one!r}: an id is a word or a whole number")
    if kind is not None and type(one) is not kind:
        raise InputError(f"{place} is {one!r}, and ids before it are {_NAMES[kind]}: give all of them one type")
    return type(one)


_NAMES = {str: "words", int: "whole numbers"}
