"""The text of plain and compressed files, decoded block by block, and texts with their ids."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bertkit.core.errors import InputError, ResourceError
from bertkit.core.files import unreadable

EncodingErrors = Literal["strict", "replace"]
"""What becomes of bytes that are not UTF-8: an error, or U+FFFD."""

BytesSeen = Callable[[int], None]
"""Called with the number of bytes that were read since the last call."""

_BLOCK_BYTES = 1 << 20
MAX_DOCUMENT_BYTES = 1 << 26
"""Of a document, and of a field of a table: each is held in memory whole."""
_BLANK_LINE = re.compile(rb"\n[ \t\r]*\n")
_BLANK_LINE_BYTES = 16
"""A longer one is not found where two blocks meet; the documents around it stay in one block."""
_MAX_LINE_BYTES = 2 * MAX_DOCUMENT_BYTES  # of a table's row, which has more than one field


def text_blocks(path: Path, encoding_errors: EncodingErrors, bytes_seen: BytesSeen) -> Iterator[str]:
    """Yield the file's text in blocks of whole lines, each of which but the last ends at a newline.

    A UTF-8 byte-order mark at the start is dropped. Bytes that are not UTF-8 raise `InputError` with their offset
    (in the decompressed text), or become U+FFFD where `encoding_errors` is "replace".
    """
    offset = 0
    for block in _line_blocks(path, bytes_seen):
        yield decoded(block, str(path), offset, encoding_errors)
        offset += len(block)


def decoded(block: bytes, origin: str, offset: int, encoding_errors: EncodingErrors) -> str:
    """Text of a block that starts at the byte `offset` of `origin`; as in `text_blocks`."""
    try:
        text = block.decode("utf-8", encoding_errors)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{origin} is not UTF-8 at byte {offset + error.start} ({error.reason}): convert it, or replace such "
            "bytes with --encoding-errors replace"
        ) from None
    return text.removeprefix("\ufeff") if offset == 0 else text


def document_blocks(
    path: Path, bytes_seen: BytesSeen, block_bytes: int, *, line_ends_document: bool
) -> Iterator[tuple[int, bytes]]:
    """Yield the file's bytes in blocks of whole documents with the offset of each, of about `block_bytes`.

    A blank line ends a document, with `line_ends_document` any line does. Raises `InputError` for a document too long.
    """
    find_end = _end_of_line if line_ends_document else _end_of_blank_line
    held, offset = bytearray(), 0
    for block in _blocks(path, bytes_seen, block_bytes):
        searched = max(0, len(held) - _BLANK_LINE_BYTES)
        held += block
        if end := find_end(held, searched):
            yield offset, bytes(held[:end])
            del held[:end]
            offset += end
        if len(held) > MAX_DOCUMENT_BYTES:
            remedy = "break it into lines" if line_ends_document else "put a blank line between documents"
            hint = "" if line_ends_document else ", or say --lines document"
            raise InputError(f"{path} has a document of more than {MAX_DOCUMENT_BYTES >> 20} MB: {remedy}{hint}")
    if held:
        yield offset, bytes(held)


def _end_of_line(data: bytearray, start: int) -> int:
    """Where the last line from `start` on ends, 0 if none does."""
    return data.rfind(b"\n", start) + 1


def _end_of_blank_line(data: bytearray, start: int) -> int:
    """Where a late blank line from `start` on ends, 0 if there is none."""
    for blank in (b"\n\n", b"\n\r\n"):
        if (place := data.rfind(blank, start)) >= 0:
            return place + len(blank)
    ends = [match.end() for match in _BLANK_LINE.finditer(data, start)]
    return ends[-1] if ends else 0


def text_lines(path: Path, encoding_errors: EncodingErrors, bytes_seen: BytesSeen) -> Iterator[str]:
    """Yield the file's lines, newline included; nothing else ends a line."""
    for block in text_blocks(path, encoding_errors, bytes_seen):
        rest = block
        if len(block) > 2 * _BLOCK_BYTES:  # its first line is long: StringIO would take four bytes a character
            first, newline, rest = block.partition("\n")
            yield first + newline
        yield from io.StringIO(rest, newline="\n")


def _line_blocks(path: Path, bytes_seen: BytesSeen) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = 0
    for block in _blocks(path, bytes_seen):
        head, newline, tail = block.rpartition(b"\n")
        if newline:
            yield b"".join([*parts, head, newline])
            parts, size = [], 0
        parts.append(tail)
        size += len(tail)
        if size > _MAX_LINE_BYTES:
            raise InputError(f"{path} has a line of more than {_MAX_LINE_BYTES >> 20} MB: break it into lines")
    if size:
        yield b"".join(parts)


def _blocks(path: Path, bytes_seen: BytesSeen, block_bytes: int = _BLOCK_BYTES) -> Iterator[bytes]:
    try:
        with _CountedFile(path, bytes_seen) as raw, _decompressed(path, raw) as stream:
            block: bytes
            while block := stream.read(block_bytes):
                yield block
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is truncated or damaged ({error}): fetch it again") from None
    except OSError as error:
        if error.errno is None:  # a decompressor's own
            raise InputError(f"{path} is truncated or damaged ({error}): fetch it again") from None
        raise unreadable(path, error) from None


class _CountedFile(io.FileIO):
    """A file that reports how much of it was read."""

    def __init__(self, path: Path, bytes_seen: BytesSeen) -> None:
        super().__init__(path)
        self._bytes_seen = bytes_seen

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        self._bytes_seen(count or 0)
        return count


def _decompressed(path: Path, raw: _CountedFile) -> Any:
    """A binary stream, usable in a `with` statement."""
    buffered = io.BufferedReader(raw, 1 << 18)
    match path.suffix.lower():
        case ".gz":
            return gzip.open(buffered)
        case ".xz":
            return lzma.open(buffered)
        case ".zst":
            import pyarrow as pa  # noqa: PLC0415  # 25 MB that other formats do not need

            return pa.CompressedInputStream(pa.PythonFile(buffered, mode="r"), "zstd")
        case _:
            return buffered


@dataclass(frozen=True)
class FileSpan:
    """`size` bytes of an uncompressed file from `offset` on."""

    path: Path
    state: tuple[int, ...]
    """Changes whenever the file does."""
    offset: int
    size: int

    @classmethod
    def whole(cls, path: Path) -> FileSpan | None:
        """A whole file as it is now; None for what cannot be read again, such as a pipe."""
        path = path.resolve()  # /dev/stdin is another file in another process
        if not path.is_file():
            return None
        status = path.stat()
        return cls(path, _state(status), 0, status.st_size)

    def part(self, offset: int, size: int) -> FileSpan:
        """`size` bytes of the same file from `offset` on."""
        return replace(self, offset=offset, size=size)

    def read(self) -> bytes:
        """The bytes; raises `ResourceError` where the file is no longer what it was."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
                state = _state(os.fstat(file.fileno()))  # after the bytes, which may change while they are read
        except OSError as error:
            raise ResourceError(f"{self.path} cannot be read any more ({error.strerror}): run it again") from None
        if state != self.state:
            raise ResourceError(f"{self.path} was changed while it was prepared: run it again when it is complete")
        return content


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text and its id in a column; None where it has none, and is known by its place among all texts."""

    id: int | str | None
    text: str


@dataclass(frozen=True)
class TextSource:
    """A file, or another place that texts come from; reading its rows raises `InputError` where they cannot be read."""

    origin: str
    """What messages call it."""
    rows: Iterator[TextRow]
