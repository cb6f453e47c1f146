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
from bertkit.core.machine import BackendName, InferencePrecision
from bertkit.data.readers.sources import HubDataset, Source, no_rows, resolve_sources
from bertkit.data.readers.tables import RowOptions, read_rows
from bertkit.data.readers.text import BytesSeen, EncodingErrors, TextRow, TextSource, text_lines

_CHUNK_TEXTS = 8192
_CHUNK_CHARACTERS = 1 << 24
_STANDARD_INPUT = "/dev/stdin"

Text = str | tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class RunningOptions:
    """How a model is run.

    Parameters
    ----------
    backend
        What runs the model: bertkit's own CPU engine (native), ONNX Runtime, OpenVINO or torch; auto takes torch on a
        GPU, else the fastest that is installed.
    precision
        Number format of the encoder's matrices: unless given, the folder's (float32, or int8 of `bertkit quantize`).
        bf16 and int8 are faster where the CPU supports them; auto takes bf16 there.
    threads
        CPU cores to use at most; unless given, all that the process may use.
    """

    backend: BackendName = "auto"
    precision: InferencePrecision | None = None
    threads: int | None = None

    def keywords(self) -> dict[str, Any]:
        """For `load`."""
        return {"backend": self.backend, "precision": self.precision, "threads": self.threads}


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """Files, folders, globs or hub data sets of texts, in place of arguments.

    Parameters
    ----------
    input
        Texts, one per line; with --text a table. May be given several times. - is standard input, which is also read
        when no text is given.
    text
        Column of the text in a table (CSV, TSV, JSONL, Parquet, hub data set).
    encoding_errors
        What becomes of bytes that are not UTF-8.
    """

    input: tuple[str, ...] = ()
    text: str | None = None
    encoding_errors: EncodingErrors = "strict"

    @property
    def is_standard_input(self) -> bool:
        """Whether no file is named."""
        return self.input in ((), ("-",))

    @property
    def named(self) -> str:
        """What messages call all of it."""
        return "standard input" if self.is_standard_input else ", ".join(self.input)


@dataclass(frozen=True, kw_only=True)
class TextRowOptions(InputOptions):
    """The same with ids.

    Parameters
    ----------
    id
        Column of the texts' ids in a table, words or whole numbers; unless given, texts are numbered from 1.
    """

    id: str | None = None


@dataclass(frozen=True, kw_only=True)
class TaskInputOptions(InputOptions):
    """Texts, or the examples of a table, for a model of a task.

    Parameters
    ----------
    input
        Texts, one per line (.txt), or a table (CSV, TSV, JSONL, Parquet, hub data set) with the columns of fine-tuning
        unless others are named; also SQuAD's JSON and CoNLL's columns. May be given several times. - is standard input,
        with one text per line, which is also read when no text is given.
    pair
        Every line is two texts, separated by a tab.
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


def input_files(options: InputOptions) -> list[Path]:
    """The files that no output may replace. A model's have suffixes that no output has."""
    sources = [] if options.is_standard_input else resolve_sources(options.input)
    return [source.path for source in sources if not isinstance(source, HubDataset)]


class InputBytes:
    """How much of the input's files has been read."""

    def __init__(self, options: InputOptions) -> None:
        self._options, self._read = options, 0

    def see(self, count: int) -> None:
        """So many more bytes were read."""
        self._read += count

    def share_read(self) -> float | None:
        """None where the size of the whole is not known."""
        return min(1.0, self._read / self._total) if self._total else None

    @cached_property
    def _total(self) -> int:
        if self._options.is_standard_input:
            return 0
        return sum(source.num_bytes for source in resolve_sources(self._options.input))


def check_one_input(arguments: Sequence[str], options: InputOptions) -> None:
    """Raise `InputError` where texts come from two sides."""
    if arguments and options.input:
        raise InputError(
            "texts were given both as arguments and with --input: give one of them (each further file needs an "
            "--input of its own)"
        )


def check_model(model: str | None) -> str:
    """The model that was given; raises `InputError` for none."""
    if model is None:
        raise InputError("MODEL is missing: give a model folder or a hub name")
    return model


def check_merge(model: str | None, arguments: Sequence[str], options: InputOptions) -> None:
    """Raise `InputError` where more than an output is given to --merge."""
    if model is not None or arguments or options != type(options)():
        raise InputError("--merge takes all from the parts beside OUTPUT: leave out everything but --output")


def read_text_chunks(arguments: Sequence[str], options: InputOptions) -> Iterator[list[Text]]:
    """Yield the texts of the arguments, or of the input, in lists of bounded size; none at all raises `InputError`."""
    texts = chain.from_iterable(texts for _, texts in given_texts(arguments, options, lambda count: None))
    chunks = text_chunks(texts)
    first = next(chunks, None)
    if first is None:
        raise _no_text(options)
    return chain([first], chunks)


def _no_text(options: InputOptions) -> InputError:
    return InputError(f"{options.named} has no text: give one text per line")


def text_chunks(texts: Iterable[Text]) -> Iterator[list[Text]]:
    """Yield texts in lists of bounded size."""
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


def given_texts(
    arguments: Sequence[str], options: InputOptions, bytes_seen: BytesSeen
) -> list[tuple[str, Iterator[str]]]:
    """The texts of the arguments, or of the input: of each place that they come from, under its name."""
    check_one_input(arguments, options)
    if options.text is None:
        return [("the arguments", iter(arguments))] if arguments else _lines(options, bytes_seen)
    if options.is_standard_input:
        raise InputError("--text names a table's column: give the table with --input FILE")
    sources = resolve_sources(options.input)
    return [(source.origin, _column(source, options.text, options, bytes_seen)) for source in sources]


def _lines(options: InputOptions, bytes_seen: BytesSeen) -> list[tuple[str, Iterator[str]]]:
    if options.is_standard_input:
        if not options.input and sys.stdin.isatty():
            raise InputError("no text: give TEXT, --input FILE, or texts on standard input, one per line")
        return [("standard input", file_lines(Path(_STANDARD_INPUT), options, bytes_seen))]
    found = []
    for source in resolve_sources(options.input):
        if isinstance(source, HubDataset) or source.format not in ("text", "tsv"):
            raise InputError(f"{source.origin} is a table: name the column of the texts with --text")
        found.append((source.origin, file_lines(source.path, options, bytes_seen)))
    return found


def file_lines(path: Path, options: InputOptions, bytes_seen: BytesSeen) -> Iterator[str]:
    """Yield the lines of a file without their ends."""
    for line in text_lines(path, options.encoding_errors, bytes_seen):
        yield line.removesuffix("\n").removesuffix("\r")


def split_pair(line: str, place: str) -> Text:
    """The two texts of a line."""
    first, tab, second = line.partition("\t")
    if not tab or "\t" in second:
        raise InputError(f"{place} has {line.count(chr(9))} tabs: a pair is two texts with one tab between them")
    return first, second


def _column(source: Source, column: str, options: InputOptions, bytes_seen: BytesSeen) -> Iterator[str]:
    rows = RowOptions(columns=(column,), encoding_errors=options.encoding_errors)
    for number, (value,) in read_rows(source, rows, bytes_seen):
        if not isinstance(value, str):
            raise InputError(f"{source.origin}, row {number}: column {column!r} is {value!r}, not a text")
        yield value


def text_rows(arguments: Sequence[str], options: InputOptions, read: InputBytes) -> list[TextSource]:
    """The texts of the arguments, or of each file of the input, one after another.

    Of a single file the first text is read at once, so that one without any is refused before a model is loaded.
    """
    column = options.id if isinstance(options, TextRowOptions) else None
    if column is None:
        sources = [
            TextSource(origin, (TextRow(None, text) for text in texts))
            for origin, texts in given_texts(arguments, options, read.see)
        ]
    else:
        sources = _rows_with_ids(arguments, options, column, read.see)
    if len(sources) > 1:
        return sources
    first = next(sources[0].rows, None)
    if first is None:
        raise _no_text(options) if options.text is None else no_rows(options.named)
    return [TextSource(sources[0].origin, chain([first], sources[0].rows))]


def _rows_with_ids(
    arguments: Sequence[str], options: InputOptions, column: str, bytes_seen: BytesSeen
) -> list[TextSource]:
    if arguments or options.text is None or options.is_standard_input:
        raise InputError("--id names a table's column: give the table with --input FILE and its texts with --text")
    text_column, kind = options.text, _IdKind()
    rows = RowOptions(columns=(text_column, column), encoding_errors=options.encoding_errors)

    def read(source: Source) -> Iterator[TextRow]:
        for number, (text, one) in read_rows(source, rows, bytes_seen):
            here = f"{source.origin}, row {number}"
            if not isinstance(text, str):
                raise InputError(f"{here}: column {text_column!r} is {text!r}, not a text")
            kind.check(one, f"{here}: column {column!r}")
            yield TextRow(one, text)

    return [TextSource(source.origin, read(source)) for source in resolve_sources(options.input)]


class _IdKind:
    """The type that all ids have."""

    def __init__(self) -> None:
        self._kind: type | None = None

    def check(self, one: Any, place: str) -> None:
        """Raise `InputError` for an id of another type than those before it."""
        if type(one) not in (str, int):
            raise InputError(f"{place} is {one!r}: an id is a word or a whole number")
        if self._kind is not None and type(one) is not self._kind:
            raise InputError(
                f"{place} is {one!r}, and ids before it are {_NAMES[self._kind]}: give all of them one type"
            )
        self._kind = type(one)


_NAMES = {str: "words", int: "whole numbers"}
