"""A corpus as pieces of whole documents, still bytes: reading is quick, and the work on a piece is done elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bertkit.data.corpus_options import CorpusOptions
from bertkit.data.file_span import FileSpan
from bertkit.data.raw_document import RawDocument
from bertkit.data.rows import RowOptions, read_rows
from bertkit.data.sentence_lines import SentenceLines
from bertkit.data.sources import COMPRESSIONS, Source, SourceFile
from bertkit.data.text_stream import BytesSeen, EncodingErrors, decoded, document_blocks
from bertkit.foundation.errors import InputError

PIECE_BYTES = 1 << 22
"""Text that is read at a time."""
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")


class CorpusPiece(Protocol):
    """Some documents in a row."""

    @property
    def content(self) -> bytes:
        """UTF-8, whatever the documents are made of."""
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
        """All of them, each with NUL behind it."""
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

    With `as_spans` those of uncompressed files are read again by whoever works on them, which is quicker than to send
    them to another process of this machine.
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
            # JSON can spell half a surrogate pair, which is no character.
            yield text.encode("utf-8", "replace")
