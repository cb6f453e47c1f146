"""Vectors written part by part: NumPy's .npy or Parquet."""
# N texts, T tokens, F features.

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bertkit.data.npy_appender import NpyAppender
from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_path
from bertkit.inference.vector_table import ID, has_tokens, offsets_of, token_counts_of, vectors_of


class VectorWriter(ABC):
    """A file that grows."""

    @abstractmethod
    def write(self, table: Any) -> None:
        """Append what a `vector_table` holds."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


class _NpyWriter(VectorWriter):
    """The array (N, F), or (T, F) of tokens, alone; what belongs to its rows lies in files of its own beside it."""

    def __init__(self, path: Path, output: Path, sides: ExitStack, *, with_ids: bool) -> None:
        self._path, self._output, self._sides = path, output, sides
        self._vectors: NpyAppender | None = None
        self._offsets: NpyAppender | None = None
        self._bounds: NpyAppender | None = None
        self._ids = self._side(".ids.jsonl").open("w", encoding="utf-8") if with_ids else None

    def write(self, table: Any) -> None:
        vectors = vectors_of(table)
        if self._vectors is None:
            self._vectors = NpyAppender(self._path, np.float32, (vectors.shape[1],))
        if self._ids is not None:
            self._ids.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in table[ID].to_pylist())
        if has_tokens(table):
            self._write_tokens(table, len(self._vectors))
        self._vectors.append(vectors)

    def _write_tokens(self, table: Any, done: int) -> None:
        if self._offsets is None or self._bounds is None:
            self._offsets = NpyAppender(self._side(".offsets.npy"), np.int32, (2,))
            self._bounds = NpyAppender(self._side(".bounds.npy"), np.int64)
            self._bounds.append(np.zeros(1, np.int64))
        self._offsets.append(offsets_of(table))
        self._bounds.append(done + np.cumsum(token_counts_of(table)))

    def close(self) -> None:
        for part in (self._vectors, self._offsets, self._bounds, self._ids):
            if part is not None:
                part.close()

    def _side(self, suffix: str) -> Path:
        return self._sides.enter_context(atomic_path(self._output.with_suffix(suffix)))


class _ParquetWriter(VectorWriter):
    """The table's own columns; a part is a row group."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, table: Any) -> None:
        table = table.replace_schema_metadata(None)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, use_dictionary=False)
        self._writer.write_table(table, row_group_size=len(table))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


_SUFFIXES = (".npy", ".parquet")


def check_vector_path(path: Path) -> None:
    """Raise `InputError` where the suffix names no format, or the path a folder."""
    if path.suffix not in _SUFFIXES:
        raise InputError(f"{path} must end in {' or '.join(_SUFFIXES)}: the suffix chooses the format")
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a file's name")


@contextmanager
def vector_writer(path: Path, *, with_ids: bool = False) -> Iterator[VectorWriter]:
    """Open `path`, which appears when everything is written and not at all after an error.

    Beside an .npy file `with_ids` puts NAME.ids.jsonl, an id a line; vectors of tokens have NAME.offsets.npy (T, 2) and
    NAME.bounds.npy (N + 1,), text n owning the rows from `bounds[n]` up to `bounds[n + 1]`. They appear before `path`.
    """
    check_vector_path(path)
    with ExitStack() as files:
        temporary = files.enter_context(atomic_path(path))
        writer = (
            _NpyWriter(temporary, path, files, with_ids=with_ids)
            if path.suffix == ".npy"
            else _ParquetWriter(temporary)
        )
        try:
            yield writer
        finally:
            writer.close()
