"""Vectors written as they come: NumPy's .npy or Parquet."""
# N texts, H hidden.

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_path


class VectorWriter(ABC):
    """A file that grows."""

    @abstractmethod
    def write(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Append vectors (N, H) of N texts."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


class _NpyWriter(VectorWriter):
    """The array (N, H) alone. NumPy leaves room in the header for a first axis of any length."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._count, self._width = 0, 0

    def write(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        if not self._count:
            self._width = vectors.shape[1]
            self._write_header()
        self._count += len(vectors)
        self._file.write(np.ascontiguousarray(vectors, "<f4").data)

    def close(self) -> None:
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        shape = (self._count, self._width)
        header: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


class _ParquetWriter(VectorWriter):
    """Columns `text` and `embedding`, a list of H float32."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        embeddings = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        table = pa.table({"text": pa.array(texts, pa.string()), "embedding": embeddings})
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


_WRITERS = {".npy": _NpyWriter, ".parquet": _ParquetWriter}


def check_vector_path(path: Path) -> None:
    """Raise `InputError` where the suffix names no format."""
    if path.suffix not in _WRITERS:
        raise InputError(f"{path} must end in {' or '.join(_WRITERS)}: the suffix chooses the format")


@contextmanager
def vector_writer(path: Path) -> Iterator[VectorWriter]:
    """Open `path`, which appears when everything is written and not at all after an error."""
    check_vector_path(path)
    with atomic_path(path) as temporary:
        writer = _WRITERS[path.suffix](temporary)
        try:
            yield writer
        finally:
            writer.close()
