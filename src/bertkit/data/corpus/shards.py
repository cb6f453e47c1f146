"""One shard of a prepared corpus: token ids, sentence offsets and document offsets as three `.npy` files."""
# N tokens, S sentences, D documents.

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import run_bounds
from bertkit.core.files import atomic_path
from bertkit.data.corpus.manifest import ShardRecord, file_record

TOKENS, SENTENCES, DOCUMENTS = "tokens", "sentences", "documents"


def shard_name(index: int) -> str:
    """Name of the shard with this index."""
    return f"shard-{index:05d}"


def shard_file(name: str, part: str) -> str:
    """File name of one part of a shard."""
    return f"{name}.{part}.npy"


def token_dtype(vocab_size: int) -> type[np.uint16] | type[np.uint32]:
    """Smallest unsigned type that holds every id."""
    return np.uint16 if vocab_size <= 1 << 16 else np.uint32


def write_shard(
    folder: Path, name: str, ids: NDArray[Any], sentence_lengths: NDArray[Any], document_lengths: NDArray[Any]
) -> ShardRecord:
    """Write a shard's files: ids (N,), tokens of each sentence (S,), sentences of each document (D,).

    The offsets in the files are int64 (S+1,) and (D+1,), counted from the shard's start.
    """
    assert sentence_lengths.sum() == len(ids) and document_lengths.sum() == len(sentence_lengths)
    arrays = {TOKENS: ids, SENTENCES: run_bounds(sentence_lengths), DOCUMENTS: run_bounds(document_lengths)}
    files = {}
    for part, array in arrays.items():
        path = folder / shard_file(name, part)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, array)
        files[path.name] = file_record(path)
    return ShardRecord(
        name=name, documents=len(document_lengths), sentences=len(sentence_lengths), tokens=len(ids), files=files
    )


def record_error(folder: Path, record: ShardRecord) -> str | None:
    """Where the record of a shard contradicts its files, None if nowhere."""
    counts = {TOKENS: record.tokens, SENTENCES: record.sentences, DOCUMENTS: record.documents}
    if missing := {shard_file(record.name, part) for part in counts} - record.files.keys():
        return f"{record.name} lacks the file {min(missing)}"
    for part, count in counts.items():
        length = len(np.load(folder / shard_file(record.name, part), mmap_mode="r"))
        found = length if part == TOKENS else length - 1
        if found != count:
            return f"{record.name} has {found:,} {part}, not {count:,}"
    return None
