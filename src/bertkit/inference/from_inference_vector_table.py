"""Vectors and their texts as an Arrow table, the form in which they are kept and written."""
# N texts, T tokens, F features.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from bertkit.foundation.ragged import run_starts
from bertkit.inference.features import TextFeatures
from bertkit.inference.text_row import TextRow

ID, TEXT, TOKENS, OFFSETS, EMBEDDING = "id", "text", "tokens", "offsets", "embedding"
_EMPTY, _CUT = b"empty", b"cut"


def vector_table(rows: Sequence[TextRow], features: TextFeatures, vocabulary: Sequence[str] | None) -> Any:
    """Columns `id`, `text` and `embedding`, a list of F float32.

    With `vocabulary` every text has lists of its `tokens`, of their `offsets` and of their embeddings.
    """
    columns = {ID: pa.array([row.id for row in rows]), TEXT: pa.array([row.text for row in rows], pa.string())}
    embeddings = _fixed_lists(features.vectors)
    if vocabulary is None:
        columns[EMBEDDING] = embeddings
    else:
        examples = features.examples
        lengths = np.array([len(example) for example in examples], np.int64)
        bounds = pa.array(np.append(run_starts(lengths), lengths.sum()), pa.int32())
        ids = np.concatenate([example.input_ids for example in examples])
        tokens = pa.array(vocabulary, pa.string()).take(pa.array(ids))
        offsets = _fixed_lists(np.concatenate([example.offsets for example in examples]))
        for name, values in ((TOKENS, tokens), (OFFSETS, offsets), (EMBEDDING, embeddings)):
            columns[name] = pa.ListArray.from_arrays(bounds, values)
    counts = {_EMPTY: sum(not row.text.strip() for row in rows), _CUT: int(features.is_cut.sum())}
    return pa.table(columns).replace_schema_metadata({name: str(count) for name, count in counts.items()})


def empty_and_cut(table: Any) -> tuple[int, int]:
    """How many of the texts are empty, and how many were cut."""
    metadata = table.schema.metadata
    return int(metadata[_EMPTY]), int(metadata[_CUT])


def vectors_of(table: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(N, F), or (T, F) of tokens."""
    return _rows(table, EMBEDDING)


def offsets_of(table: Any) -> np.ndarray[Any, np.dtype[np.int32]]:
    """(T, 2) of tokens."""
    return _rows(table, OFFSETS)


def token_counts_of(table: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(N,) tokens of each text."""
    bounds: np.ndarray[Any, np.dtype[np.int32]] = table[OFFSETS].combine_chunks().offsets.to_numpy()
    return np.diff(bounds).astype(np.int64)


def has_tokens(table: Any) -> bool:
    """Whether every token has a vector, and not every text."""
    return TOKENS in table.column_names


def _fixed_lists(values: np.ndarray[Any, Any]) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _rows(table: Any, column: str) -> np.ndarray[Any, Any]:
    """The innermost lists as rows."""
    lists = table[column].combine_chunks()
    if pa.types.is_list(lists.type):
        lists = lists.flatten()
    values: np.ndarray[Any, Any] = lists.flatten().to_numpy()
    return values.reshape(len(lists), lists.type.list_size)
