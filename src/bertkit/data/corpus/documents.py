"""A corpus as documents of sentences, read piece by piece from its sources."""
# L lines.

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import InputError
from bertkit.data.corpus.options import CorpusOptions
from bertkit.data.readers.sources import COMPRESSIONS, Source, SourceFile, resolve_sources
from bertkit.data.readers.tables import RowOptions, read_rows
from bertkit.data.readers.text import BytesSeen, EncodingErrors, FileSpan, decoded, document_blocks
from bertkit.text.plain_text import checked_utf8, split_sentences


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


# White space to Python, but not to every tokenizer.
_ODD_SPACES = (b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x1f")
_NEXT_LINE = "\x85".encode()
_STARTS_SPACE = np.zeros(256, bool)
_STARTS_SPACE[[9, 13, 32, 0xC2, 0xE1, 0xE2, 0xE3]] = True  # first bytes of white space in UTF-8


@dataclass(frozen=True, eq=False)
class SentenceLines:
    """Lines of `text`, UTF-8, each of which is a sentence, or blank to a tokenizer."""

    text: bytes
    documents: NDArray[np.int64]
    """(L,) the number of each line's document, ascending; numbers may be left out."""

    @classmethod
    def of_documents(cls, documents: Iterable[RawDocument]) -> SentenceLines:
        """The sentences of documents."""
        sentences = [document.sentences() for document in documents]
        lines = [sentence for document in sentences for sentence in document]
        owners = np.repeat(np.arange(len(sentences)), np.array([len(document) for document in sentences], np.int64))
        return cls(checked_utf8("\n".join(lines)), owners if lines else np.zeros(1, np.int64))

    @classmethod
    def of_text(cls, text: bytes) -> SentenceLines | None:
        """Lines that are sentences already, blank ones between documents; None where white space is not plain."""
        if any(space in text for space in _ODD_SPACES) or (_NEXT_LINE[1:] in text and _NEXT_LINE in text):
            return None
        data = np.frombuffer(text, np.uint8)
        breaks = np.flatnonzero(data == ord("\n"))
        starts, ends = np.append(0, breaks + 1), np.append(breaks, len(data))
        blank = starts == ends
        if len(data):
            for line in np.flatnonzero(_STARTS_SPACE[data[np.minimum(starts, len(data) - 1)]] & ~blank).tolist():
                blank[line] = text[starts[line] : ends[line]].decode().isspace()
        return cls(text, np.cumsum(blank))

    @classmethod
    def joined(cls, parts: Sequence[SentenceLines]) -> SentenceLines:
        """All lines one after another; a document ends where its part ends."""
        before = np.cumsum([0, *(part.documents[-1] + 1 for part in parts[:-1])])
        documents = [part.documents + shift for part, shift in zip(parts, before, strict=True)]
        return cls(b"\n".join(part.text for part in parts), np.concatenate(documents))


PIECE_BYTES = 1 << 22
"""Text read at a time."""
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")


class CorpusPiece(Protocol):
    """Some consecutive documents."""

    @property
    def content(self) -> bytes:
        """The documents' bytes, UTF-8 unless a text file has others."""
        ...

    def documents(self) -> Iterator[RawDocument]:
        """Each of them; raises `InputError` for bytes that are not UTF-8."""
        ...

    def sentences(self) -> SentenceLines:
        """The sentences of all of them; raises `InputError` for bytes that are not UTF-8."""
        ...


@dataclass(frozen=True)
class TextPiece:
    """Lines of a text file from the byte `offset` on."""

    origin: str
    offset: int
    stored: bytes | FileSpan
    lines: str
    encoding_errors: EncodingErrors

    @property
    def content(self) -> bytes:
        """The lines, read now where the piece is a span of a file."""
        return self.stored if isinstance(self.stored, bytes) else self.stored.read()

    def documents(self) -> Iterator[RawDocument]:
        """Each document of the lines."""
        is_split = self.lines == "sentence"
        # A newline at either end, so that a blank line is found there too.
        parts = _BLANK_LINES.split("\n" + self._text().removesuffix("\n") + "\n")
        parts[0] = parts[0].removeprefix("\n")
        parts[-1] = parts[-1].removesuffix("\n")
        for part in parts:
            if self.lines == "document":
                yield from (RawDocument(line, is_split) for line in part.split("\n") if line)
            elif part:
                yield RawDocument(part, is_split)

    def sentences(self) -> SentenceLines:
        """The lines, or what the splitter finds in them."""
        found = SentenceLines.of_text(self._text().encode()) if self.lines == "sentence" else None
        return found or SentenceLines.of_documents(self.documents())

    def _text(self) -> str:
        return decoded(self.content, self.origin, self.offset, self.encoding_errors)


@dataclass(frozen=True)
class RowPiece:
    """Texts of a table's rows, each a document."""

    texts: tuple[bytes, ...]

    @property
    def content(self) -> bytes:
        """All texts, a NUL after each."""
        return b"".join(text + b"\0" for text in self.texts)

    def documents(self) -> Iterator[RawDocument]:
        """Each row."""
        return (RawDocument(text.decode(), is_split=False) for text in self.texts)

    def sentences(self) -> SentenceLines:
        """What the splitter finds in the rows."""
        return SentenceLines.of_documents(self.documents())


def read_pieces(
    sources: Sequence[Source],
    options: CorpusOptions,
    bytes_seen: BytesSeen = lambda count: None,
    piece_bytes: int = PIECE_BYTES,
    *,
    as_spans: bool = False,
) -> Iterator[tuple[int, CorpusPiece]]:
    """Yield the pieces of all sources in order, each with its size in bytes: about `piece_bytes`.

    With `as_spans` pieces of uncompressed files are read again where they are used: quicker than sending their text to
    another process of this machine.
    """
    for source in sources:
        if isinstance(source, SourceFile) and source.format == "text":
            is_plain = source.path.suffix.lower() not in COMPRESSIONS
            whole = FileSpan.whole(source.path) if as_spans and is_plain else None
            for offset, block in document_blocks(
                source.path, bytes_seen, piece_bytes, line_ends_document=options.lines == "document"
            ):
                stored = block if whole is None else whole.part(offset, len(block))
                yield len(block), TextPiece(source.origin, offset, stored, options.lines, options.encoding_errors)
        else:
            yield from _row_pieces(_row_texts(source, options, bytes_seen), piece_bytes)


def _row_pieces(texts: Iterator[bytes], piece_bytes: int) -> Iterator[tuple[int, RowPiece]]:
    held: list[bytes] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size >= piece_bytes:
            yield size, RowPiece(tuple(held))
            held, size = [], 0
    if held:
        yield size, RowPiece(tuple(held))


def _row_texts(source: Source, options: CorpusOptions, bytes_seen: BytesSeen) -> Iterator[bytes]:
    row_options = RowOptions(
        columns=(options.text_column,), encoding_errors=options.encoding_errors, split=options.split
    )
    for number, (text,) in read_rows(source, row_options, bytes_seen):
        if text is None:
            continue
        if not isinstance(text, str):
            raise InputError(
                f"{source.origin}, row {number}: the column {options.text_column!r} holds {text!r}, not text"
            )
        if not text.isspace() and text:
            # JSON can contain half a surrogate pair, which is not a character.
            yield text.encode("utf-8", "replace")


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
    """Yield each document unsplit."""
    empty = True
    for _, piece in read_pieces(sources, options, bytes_seen):
        for document in piece.documents():
            empty = False
            yield document
    if empty:
        raise InputError(f"the corpus is empty: {', '.join(source.origin for source in sources)} holds no text")
