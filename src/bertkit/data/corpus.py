"""Documents of a corpus, streaming, whatever files they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bertkit.data.rows import RowOptions, read_rows
from bertkit.data.sources import Source, SourceFile, resolve_sources
from bertkit.data.text_stream import BytesSeen, EncodingErrors, text_blocks
from bertkit.foundation.errors import InputError
from bertkit.text.sentences import split_sentences

_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")
_MAX_DOCUMENT_CHARS = 1 << 26
"""A document is held in memory as a whole."""


@dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """How files are read as documents of sentences."""

    lines: str = "sentence"
    """What a line of a text file is: a "sentence" or a "paragraph", a blank line between documents, or a "document"."""

    text_column: str = "text"
    """Column of CSV, TSV, JSONL, Parquet and hub rows; every row is a document."""

    encoding_errors: EncodingErrors = "strict"
    """What becomes of bytes that are not UTF-8: "strict" refuses them, "replace" puts U+FFFD."""

    split: str = "train"
    """Split of a hub data set."""

    def __post_init__(self) -> None:
        if self.lines not in ("sentence", "paragraph", "document"):
            raise InputError(f"lines must be sentence, paragraph or document, got {self.lines!r}")
        if self.encoding_errors not in ("strict", "replace"):
            raise InputError(f"encoding_errors must be strict or replace, got {self.encoding_errors!r}")


@dataclass(frozen=True, slots=True)
class RawDocument:
    """A document before its sentences are split; lines are sentences already where `is_split`."""

    text: str
    is_split: bool

    def sentences(self) -> list[str]:
        """Sentences without surrounding white space; empty ones are left out."""
        lines = [stripped for line in self.text.split("\n") if (stripped := line.strip())]
        if self.is_split:
            return lines
        return [sentence for line in lines for sentence in split_sentences(line)]


def in_portions(documents: Iterable[RawDocument], characters: int) -> Iterator[list[RawDocument]]:
    """Group documents in their order, each group ending with the document that brings it to so many characters."""
    portion: list[RawDocument] = []
    size = 0
    for document in documents:
        portion.append(document)
        size += len(document.text)
        if size >= characters:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def read_documents(sources: Sequence[str | Path], options: CorpusOptions) -> Iterator[list[str]]:
    """Yield each document of files, folders, globs and hub data sets as the list of its sentences.

    Raises `InputError` for what does not exist or cannot be read, and for a corpus without text.
    """
    for document in read_raw_documents(resolve_sources(sources), options):
        if sentences := document.sentences():
            yield sentences


def read_raw_documents(
    sources: Sequence[Source], options: CorpusOptions, bytes_seen: BytesSeen = lambda count: None
) -> Iterator[RawDocument]:
    """Yield each document unsplit, so that the splitting can be done elsewhere."""
    empty = True
    for source in sources:
        is_text = isinstance(source, SourceFile) and source.format == "text"
        documents = _text_documents if is_text else _row_documents
        for document in documents(source, options, bytes_seen):  # type: ignore[arg-type]
            empty = False
            yield document
    if empty:
        raise InputError(f"the corpus is empty: {_names(sources)} holds no text")


def _text_documents(source: SourceFile, options: CorpusOptions, bytes_seen: BytesSeen) -> Iterator[RawDocument]:
    is_split = options.lines == "sentence"
    held: list[str] = []  # of a document that goes on, lines that are not blank
    size = 0
    for block in text_blocks(source.path, options.encoding_errors, bytes_seen):
        # A newline at either end, so that a blank line is found there too.
        parts = _BLANK_LINES.split("\n" + block.removesuffix("\n") + "\n")
        parts[0] = parts[0].removeprefix("\n")
        parts[-1] = parts[-1].removesuffix("\n")
        for number, part in enumerate(parts):
            if number and held:
                yield RawDocument("\n".join(held), is_split)
                held, size = [], 0
            if options.lines == "document":
                yield from (RawDocument(line, is_split) for line in part.split("\n") if line)
            elif part:
                held.append(part)
                size += len(part)
            if size > _MAX_DOCUMENT_CHARS:
                raise InputError(
                    f"{source.path} has a document of more than {_MAX_DOCUMENT_CHARS >> 20} million characters: "
                    "put a blank line between documents, or say --lines document"
                )
    if held:
        yield RawDocument("\n".join(held), is_split)


def _row_documents(source: Source, options: CorpusOptions, bytes_seen: BytesSeen) -> Iterator[RawDocument]:
    row_options = RowOptions(
        columns=(options.text_column,), encoding_errors=options.encoding_errors, split=options.split
    )
    for number, (text,) in read_rows(source, row_options, bytes_seen):
        if text is None:
            continue
        if not isinstance(text, str):
            raise InputError(
                f"{_names([source])}, row {number}: the column {options.text_column!r} holds {text!r}, not text"
            )
        if not text.isspace() and text:
            # JSON can spell half a surrogate pair, which is no character.
            yield RawDocument(text.encode("utf-8", "replace").decode("utf-8"), is_split=False)


def _names(sources: Sequence[Source]) -> str:
    return ", ".join(source.origin for source in sources)
