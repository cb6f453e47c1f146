"""Tables of vectors and the files that they are written to: .npy or Parquet."""
# N texts, T tokens, F features.

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bertkit.core.arrays import NpyAppender, run_starts
from bertkit.core.errors import InputError
from bertkit.core.outputs import check_output_file, output_file
from bertkit.data.readers.text import TextRow
from bertkit.inference.bulk import has_parts
from bertkit.inference.features import TextFeatures

ID, TEXT, TOKENS, OFFSETS, EMBEDDING = "id", "text", "tokens", "offsets", "embedding"
_EMPTY, _CUT = b"empty", b"cut"
_IDS_SUFFIX, _OFFSETS_SUFFIX, _BOUNDS_SUFFIX = ".ids.jsonl", ".offsets.npy", ".bounds.npy"


def vector_table(rows: Sequence[TextRow], features: TextFeatures, vocabulary: Sequence[str] | None) -> Any:
    """Columns `id` where the texts have ids, `text` and `embedding`, a list of F float32.

    With `vocabulary` every text has lists of its `tokens`, of their `offsets` and of their embeddings.
    """
    columns = {ID: pa.array([row.id for row in rows])} if rows[0].id is not None else {}
    columns[TEXT] = _strings([row.text for row in rows])
    embeddings = _fixed_lists(features.vectors)
    if vocabulary is None:
        columns[EMBEDDING] = embeddings
    else:
        examples = features.examples
        lengths = np.array([len(example) for example in examples], np.int64)
        bounds = numbers(np.append(run_starts(lengths), lengths.sum()).astype(np.int32))
        ids = np.concatenate([example.input_ids for example in examples])
        tokens = _strings(vocabulary).take(numbers(ids))
        offsets = _fixed_lists(np.concatenate([example.offsets for example in examples]))
        for name, values in ((TOKENS, tokens), (OFFSETS, offsets), (EMBEDDING, embeddings)):
            columns[name] = pa.ListArray.from_arrays(bounds, values)
    counts = {_EMPTY: sum(not row.text.strip() for row in rows), _CUT: int(features.is_cut.sum())}
    return pa.table(columns).replace_schema_metadata({name: str(count) for name, count in counts.items()})


def empty_and_cut(table: Any) -> tuple[int, int]:
    """How many of the texts are empty, and how many were cut."""
    metadata = table.schema.metadata
    return int(metadata[_EMPTY]), int(metadata[_CUT])


def _vectors_of(table: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(N, F), or (T, F) of tokens."""
    return _rows(table, EMBEDDING)


def _offsets_of(table: Any) -> np.ndarray[Any, np.dtype[np.int32]]:
    """(T, 2) of tokens."""
    return _rows(table, OFFSETS)


def _token_counts_of(table: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(N,) tokens of each text."""
    return np.diff(_in_numpy(table[OFFSETS].combine_chunks().offsets)).astype(np.int64)


def _has_tokens(table: Any) -> bool:
    """Whether every token has a vector, and not every text."""
    return TOKENS in table.column_names


def numbers(values: np.ndarray[Any, Any]) -> Any:
    """Numbers (N,) as Arrow's array over the same memory; `pyarrow.array` would import pandas, a third of a start."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _in_numpy(array: Any) -> np.ndarray[Any, Any]:
    """Numbers (N,) of Arrow over the same memory, without pandas too."""
    values: np.ndarray[Any, Any] = np.frombuffer(array.buffers()[1], array.type.to_pandas_dtype())
    return values[array.offset : array.offset + len(array)]


def _strings(texts: Sequence[str]) -> Any:
    encoded = [text.encode() for text in texts]
    ends = np.zeros(len(texts) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=ends[1:])
    return pa.Array.from_buffers(pa.string(), len(texts), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])


def _fixed_lists(values: np.ndarray[Any, Any]) -> Any:
    return pa.FixedSizeListArray.from_arrays(numbers(values.ravel()), values.shape[1])


def _rows(table: Any, column: str) -> np.ndarray[Any, Any]:
    """The innermost lists as rows."""
    lists = table[column].combine_chunks()
    if pa.types.is_list(lists.type):
        lists = lists.flatten()
    return _in_numpy(lists.flatten()).reshape(len(lists), lists.type.list_size)


class VectorWriter(ABC):
    """A file that grows."""

    width = 0
    """F of what was written."""

    @abstractmethod
    def write(self, table: Any) -> None:
        """Append what a `vector_table` holds."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


class _NpyWriter(VectorWriter):
    """The array (N, F), or (T, F) of tokens; what belongs to its rows is in other files beside it."""

    def __init__(self, path: Path, open_side: Callable[[str], Path], *, with_ids: bool) -> None:
        self._path, self._open_side = path, open_side
        self._vectors: NpyAppender | None = None
        self._offsets: NpyAppender | None = None
        self._bounds: NpyAppender | None = None
        self._ids = open_side(_IDS_SUFFIX).open("w", encoding="utf-8") if with_ids else None

    def write(self, table: Any) -> None:
        vectors = _vectors_of(table)
        self.width = vectors.shape[1]
        if self._vectors is None:
            self._vectors = NpyAppender(self._path, np.float32, (vectors.shape[1],))
        if self._ids is not None:
            self._ids.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in table[ID].to_pylist())
        if _has_tokens(table):
            self._write_tokens(table, len(self._vectors))
        self._vectors.append(vectors)

    def _write_tokens(self, table: Any, done: int) -> None:
        if self._offsets is None or self._bounds is None:
            self._offsets = NpyAppender(self._open_side(_OFFSETS_SUFFIX), np.int32, (2,))
            self._bounds = NpyAppender(self._open_side(_BOUNDS_SUFFIX), np.int64)
            self._bounds.append(np.zeros(1, np.int64))
        self._offsets.append(_offsets_of(table))
        self._bounds.append(done + np.cumsum(_token_counts_of(table)))

    def close(self) -> None:
        for part in (self._vectors, self._offsets, self._bounds, self._ids):
            if part is not None:
                part.close()


class _ParquetWriter(VectorWriter):
    """The table's own columns; a part is a row group."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, table: Any) -> None:
        table = table.replace_schema_metadata(None)
        self.width = _vectors_of(table).shape[1]
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, use_dictionary=False)
        self._writer.write_table(table, row_group_size=len(table))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


_SUFFIXES = (".npy", ".parquet")


def check_vector_path(
    path: Path,
    *,
    with_ids: bool = False,
    is_per_token: bool = False,
    inputs: Collection[str | Path] = (),
    overwrite: bool = False,
) -> None:
    """Raise `InputError` where the suffix names no format or `core.outputs` refuses one of the files."""
    if path.suffix not in _SUFFIXES:
        raise InputError(f"{path} must end in {' or '.join(_SUFFIXES)}: the suffix chooses the format")
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a file's name")
    resumed = has_parts(path)
    check_output_file(path, inputs=inputs, overwrite=overwrite, resumed=resumed)
    sides = [_IDS_SUFFIX] * with_ids + [_OFFSETS_SUFFIX, _BOUNDS_SUFFIX] * is_per_token
    for suffix in sides if path.suffix == ".npy" else ():
        check_output_file(path.with_suffix(suffix), inputs=inputs, overwrite=overwrite, resumed=resumed)


@contextmanager
def vector_writer(
    path: Path, *, with_ids: bool = False, inputs: Collection[str | Path] = (), overwrite: bool = False
) -> Iterator[VectorWriter]:
    """Open `path`, which appears when everything is written and not at all after an error; see `core.outputs`.

    Beside an .npy file `with_ids` puts NAME.ids.jsonl, an id a line; vectors of tokens have NAME.offsets.npy (T, 2) and
    NAME.bounds.npy (N + 1,), text n owning the rows from `bounds[n]` up to `bounds[n + 1]`. They appear before `path`.
    """
    check_vector_path(path, with_ids=with_ids, inputs=inputs, overwrite=overwrite)
    with ExitStack() as files:

        def open_file(place: Path) -> Path:
            return files.enter_context(output_file(place, inputs=inputs, overwrite=overwrite, resumed=has_parts(path)))

        temporary = open_file(path)
        writer = (
            _NpyWriter(temporary, lambda suffix: open_file(path.with_suffix(suffix)), with_ids=with_ids)
            if path.suffix == ".npy"
            else _ParquetWriter(temporary)
        )
        try:
            yield writer
        finally:
            writer.close()
