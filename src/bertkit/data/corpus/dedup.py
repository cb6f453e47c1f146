"""Lines and documents that repeat earlier ones, found from the hashes of the shards."""
# S sentences, D documents, P permutations of a signature.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.data.duplicate_options import DuplicateOptions
from bertkit.data.engine import Engine
from bertkit.data.hash_buckets import HashBuckets
from bertkit.data.manifest import Duplicates, ShardRecord
from bertkit.data.minhash import PERMUTATIONS, band_hashes, band_rows, similarities
from bertkit.data.npy_appender import NpyAppender
from bertkit.data.shard import DOCUMENTS, shard_file
from bertkit.data.shard_hashes import DOCUMENT_HASHES, LINE_HASHES, SIGNATURES
from bertkit.foundation.files import full_disk_named

_PAIRS = 8192
"""Pairs of signatures that are compared at a time."""


@dataclass(frozen=True, kw_only=True)
class ShardSet:
    """Shards in order: their files in `folder`, their hashes in `work`."""

    folder: Path
    work: Path
    records: Sequence[ShardRecord]

    @property
    def sentences(self) -> int:
        """Number of sentences."""
        return sum(record.sentences for record in self.records)

    @property
    def documents(self) -> int:
        """Number of documents."""
        return sum(record.documents for record in self.records)


def find_duplicates(shards: ShardSet, options: DuplicateOptions, left_out: Path, engine: Engine) -> Duplicates:
    """Count what is repeated and, if something is to be left out, write which lines to `left_out`: bool (S,).

    Memory holds three bytes a document and a bucket of hashes a worker; the disk 16 bytes a line, for a while.
    """
    with full_disk_named(shards.work):
        same = _repeated_documents(shards, engine)  # (D,)
        near = None if options.drop_near_duplicates is None else _near(shards, options.drop_near_duplicates, engine)
        dropped = (same if options.documents else np.zeros(len(same), bool)) | (False if near is None else near)
        if options.any:
            _write_lines_of(dropped, shards, left_out)
        lines = _repeated_lines(shards, dropped, left_out if options.lines else None, engine)
    return Duplicates(
        documents=int(same.sum()), near_documents=None if near is None else int(near.sum()), sentences=lines
    )


def _repeated_documents(shards: ShardSet, engine: Engine) -> NDArray[np.bool_]:
    repeated = np.zeros(shards.documents, bool)
    with HashBuckets(shards.work, shards.documents) as buckets:
        start = 0
        for record, hashes in _parts(shards, DOCUMENT_HASHES):
            buckets.append(hashes, np.arange(start, start + record.documents))
            start += record.documents
        for numbers, _ in buckets.repeats(engine):
            repeated[numbers] = True
    return repeated


def _near(shards: ShardSet, threshold: float, engine: Engine) -> NDArray[np.bool_]:
    """Which documents (D,) resemble an earlier one.

    Each is compared with the first document of every band of its signature (Leskovec et al., Mining of Massive
    Datasets, section 3.4), by the whole signature; whether that one is itself left out does not matter.
    """
    rows = band_rows(threshold)
    bands = PERMUTATIONS // rows
    near = np.zeros(shards.documents, bool)
    path = shards.work / "signatures.npy"
    with HashBuckets(shards.work, shards.documents * bands) as buckets:
        with closing(NpyAppender(path, np.uint32, (PERMUTATIONS,))) as every:
            for record, signature in _parts(shards, SIGNATURES):
                start = len(every) * bands
                buckets.append(band_hashes(signature, rows).ravel(), start + np.arange(record.documents * bands))
                every.append(signature)
        for numbers, firsts in buckets.repeats(engine):
            every_signature = np.load(path, mmap_mode="r")  # (D, P)
            for start in range(0, len(numbers), _PAIRS):
                later, earlier = (part[start : start + _PAIRS] // bands for part in (numbers, firsts))
                alike = similarities(every_signature[later], every_signature[earlier]) >= threshold
                near[later[alike]] = True
    path.unlink()
    return near


def _write_lines_of(dropped: NDArray[np.bool_], shards: ShardSet, left_out: Path) -> None:
    """Mark the lines of whole documents (D,)."""
    start = 0
    with closing(NpyAppender(left_out, np.bool_)) as flags:
        for record in shards.records:
            bounds = np.load(shards.folder / shard_file(record.name, DOCUMENTS))
            flags.append(np.repeat(dropped[start : start + record.documents], np.diff(bounds)))
            start += record.documents


def _repeated_lines(shards: ShardSet, dropped: NDArray[np.bool_], left_out: Path | None, engine: Engine) -> int:
    """Count lines of other documents than the `dropped` (D,) that stood before, and mark them in `left_out`."""
    count = document = start = 0
    with HashBuckets(shards.work, shards.sentences) as buckets:
        for record, hashes in _parts(shards, LINE_HASHES):
            numbers = np.arange(start, start + record.sentences)
            documents = dropped[document : document + record.documents]
            if documents.any():
                bounds = np.load(shards.folder / shard_file(record.name, DOCUMENTS))
                stays = np.repeat(~documents, np.diff(bounds))
                buckets.append(hashes[stays], numbers[stays])
            else:
                buckets.append(hashes, numbers)
            document, start = document + record.documents, start + record.sentences
        for numbers, _ in buckets.repeats(engine):
            count += len(numbers)
            if left_out is not None:
                # Opened anew for each bucket, so that no page stays in memory.
                np.load(left_out, mmap_mode="r+")[numbers] = True
    return count


def _parts(shards: ShardSet, part: str) -> Iterator[tuple[ShardRecord, NDArray[Any]]]:
    for record in shards.records:
        yield record, np.load(shards.work / shard_file(record.name, part))
