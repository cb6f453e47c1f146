"""Decoded text of plain and compressed files, block by block."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from bertkit.foundation.errors import InputError

EncodingErrors = Literal["strict", "replace"]
"""What becomes of bytes that are not UTF-8: an error, or U+FFFD."""

BytesSeen = Callable[[int], None]
"""Is told how many more bytes of a file were read."""

_BLOCK_BYTES = 1 << 20
_MAX_LINE_BYTES = 1 << 28


def text_blocks(path: Path, encoding_errors: EncodingErrors, bytes_seen: BytesSeen) -> Iterator[str]:
    """Yield the file's text in blocks of whole lines, each ending at a newline but for the last.

    A UTF-8 byte-order mark at the start is left out. Bytes that are not UTF-8 raise `InputError` with their offset
    (in the decompressed text), or become U+FFFD where `encoding_errors` is "replace".
    """
    offset = 0
    for block in _line_blocks(path, bytes_seen):
        try:
            text = block.decode("utf-8", encoding_errors)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} is not UTF-8 at byte {offset + error.start} ({error.reason}): convert it, or replace such "
                "bytes with --encoding-errors replace"
            ) from None
        yield text.removeprefix("\ufeff") if offset == 0 else text
        offset += len(block)


def text_lines(path: Path, encoding_errors: EncodingErrors, bytes_seen: BytesSeen) -> Iterator[str]:
    """Yield the file's lines, newline included; nothing else ends a line."""
    for block in text_blocks(path, encoding_errors, bytes_seen):
        yield from io.StringIO(block, newline="\n")


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


def _blocks(path: Path, bytes_seen: BytesSeen) -> Iterator[bytes]:
    try:
        with _CountedFile(path, bytes_seen) as raw, _decompressed(path, raw) as stream:
            block: bytes
            while block := stream.read(_BLOCK_BYTES):
                yield block
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is truncated or damaged ({error}): fetch it again") from None
    except OSError as error:
        # The system's own errors have a number, those of a decompressor have none.
        reason = f"is truncated or damaged ({error})" if error.errno is None else f"cannot be read ({error.strerror})"
        raise InputError(f"{path} {reason}: fetch it again or check its permissions") from None


class _CountedFile(io.FileIO):
    """A file that tells how much of it was read."""

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
