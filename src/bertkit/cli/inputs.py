"""Where `predict`, `fill-mask`, `embed` and `features` take their texts from."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from bertkit.data.rows import RowOptions, read_rows
from bertkit.data.sources import HubDataset, resolve_sources
from bertkit.data.text_stream import BytesSeen, EncodingErrors, text_lines
from bertkit.foundation.errors import InputError

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
        Texts, one a line; - is standard input, which is also read when no text is given. With --text a table.
    text
        Column of the text in a table (CSV, TSV, JSONL, Parquet, hub data set).
    encoding_errors
        What becomes of bytes that are not UTF-8.
    """

    input: str | None = None
    text: str | None = None
    encoding_errors: EncodingErrors = "strict"


@dataclass(frozen=True, kw_only=True)
class TaskInputOptions(InputOptions):
    """The same for a model of a task.

    Parameters
    ----------
    input
        Texts, one a line (.txt), or a table (CSV, TSV, JSONL, Parquet, hub data set) with the columns of fine-tuning
        unless others are named; also SQuAD's JSON and CoNLL's columns. - is standard input, which is also read when
        no text is given, and has a text a line.
    pair
        Every line is a pair of texts, separated by a tab.
    text_pair
        Column of the second text in a table.
    choices
        Columns of the choices in a table, one each, or one with lists.
    header
        Whether the first line of CSV and TSV names the columns.
    id
        Column of the texts' ids in a table, which are written beside the predictions.
    """

    pair: bool = False
    text_pair: str | None = None
    choices: tuple[str, ...] | None = None
    header: bool | None = None
    id: str | None = None


@dataclass(frozen=True, kw_only=True)
class TextRowOptions(InputOptions):
    """The same with ids.

    Parameters
    ----------
    id
        Column of the texts' ids in a table, words or whole numbers; unless given texts are numbered from 1.
    """

    id: str | None = None


def read_text_chunks(
    arguments: Sequence[str], options: InputOptions, bytes_seen: BytesSeen = lambda count: None
) -> Iterator[list[Text]]:
    """Yield the texts of the arguments, or of the input, in lists of bounded size; none at all raises `InputError`."""
    if arguments and options.input is not None:
        raise InputError("texts were given both as arguments and with --input: give one of them")
    texts: Iterable[Text]
    if options.text is not None:
        texts = _table_texts(options, options.text, bytes_seen)
    else:
        lines = enumerate(arguments, 1) if arguments else _numbered_lines(options, bytes_seen)
        split = isinstance(options, TaskInputOptions) and options.pair
        texts = (_split(line, number) if split else line for number, line in lines)
    chunks = _chunks(iter(texts))
    first = next(chunks, None)
    if first is None:
        raise InputError(f"{options.input or 'standard input'} has no text: give one text a line")
    return chain([first], chunks)


def _numbered_lines(options: InputOptions, bytes_seen: BytesSeen) -> Iterator[tuple[int, str]]:
    if options.input is None and sys.stdin.isatty():
        raise InputError("no text: give TEXT, --input FILE, or texts on standard input, one a line")
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
