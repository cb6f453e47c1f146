"""Deduplication: which lines and documents of a corpus repeat, and its shards without them."""
# S sentences, D documents, P permutations of a signature.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import NpyAppender
from bertkit.core.files import full_disk_named, write_json
from bertkit.core.workers import Engine
from bertkit.data.corpus.hashing import (
    DOCUMENT_HASHES,
    LINE_HASHES,
    PERMUTATIONS,
    SIGNATURES,
    HashBuckets,
    band_hashes,
    band_rows,
    similarities,
)
from bertkit.data.corpus.manifest import Duplicates, ShardRecord
from bertkit.data.corpus.options import DuplicateOptions
from bertkit.data.corpus.shards import DOCUMENTS, SENTENCES, TOKENS, shard_file, write_shard
from bertkit.data.corpus.write_shards import finished_shard, record_path

_PAIRS = 8192
"""Pairs of signatures compared at a time."""


@dataclass(frozen=True, kw_only=True)
class ShardSet:
    """Shards in order, with their files in `folder` and their hashes in `work`."""

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
    """Count what repeats and, where something is to be left out, write a flag for each line to `left_out`: bool (S,).

    Takes three bytes of memory a document and a bucket of hashes a worker, and for a while 16 bytes of disk a line.
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
    Datasets, section 3.4), by the whole signature, whether or not that document is itself left out.
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
    """Count lines that occurred before, outside the `dropped` documents (D,), and mark them in `left_out`."""
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
                # Opened again for each bucket, so that no page stays in memory.
                np.load(left_out, mmap_mode="r+")[numbers] = True
    return count


def _parts(shards: ShardSet, part: str) -> Iterator[tuple[ShardRecord, NDArray[Any]]]:
    for record in shards.records:
        yield record, np.load(shards.work / shard_file(record.name, part))


@dataclass(frozen=True, kw_only=True)
class FilterTask:
    """Shard `staged` in `stage`, its filtered name and folder, and the number of its first line."""

    stage: Path
    staged: str
    folder: Path
    work: Path
    name: str
    left_out: Path
    first_line: int


def run_filter(task: FilterTask) -> ShardRecord:
    """Write what stays of a shard, unless an earlier, killed run has written it."""
    record = finished_shard(task.folder, task.work, task.name)
    if record is not None:
        return record
    tokens, sentences, documents = (
        np.load(task.stage / shard_file(task.staged, part)) for part in (TOKENS, SENTENCES, DOCUMENTS)
    )
    lengths = np.diff(sentences)  # (S,)
    flags = np.load(task.left_out, mmap_mode="r")
    stays = ~np.array(flags[task.first_line : task.first_line + len(lengths)])  # (S,)
    owner = np.repeat(np.arange(len(documents) - 1), np.diff(documents))  # (S,)
    sentences_of = np.bincount(owner[stays], minlength=len(documents) - 1)  # (D,)
    record = write_shard(
        task.folder,
        task.name,
        tokens[np.repeat(stays, lengths)],
        lengths[stays],
        sentences_of[sentences_of > 0],
    )
    write_json(record_path(task.work, task.name), asdict(record))
    return record
