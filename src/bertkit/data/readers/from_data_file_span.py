"""Bytes of a file that are read where they are needed."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from bertkit.foundation.errors import ResourceError


@dataclass(frozen=True)
class FileSpan:
    """`size` bytes of an uncompressed file from `offset` on."""

    path: Path
    state: tuple[int, ...]
    """What changes when the file does."""
    offset: int
    size: int

    @classmethod
    def whole(cls, path: Path) -> FileSpan | None:
        """All of a file as it is now; None for what cannot be read twice, such as a pipe."""
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
