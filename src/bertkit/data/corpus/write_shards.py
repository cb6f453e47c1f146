"""Text to shards: what is cut into tasks, and what a worker does with one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bertkit.core.console import note, progress
from bertkit.core.errors import InputError
from bertkit.core.files import atomic_folder
from bertkit.core.records import read_record, write_record
from bertkit.core.workers import Engine, MachineShard
from bertkit.data.corpus.documents import CorpusPiece, SentenceLines, read_pieces
from bertkit.data.corpus.hashing import write_shard_hashes
from bertkit.data.corpus.manifest import ShardRecord
from bertkit.data.corpus.options import CorpusOptions
from bertkit.data.corpus.output_folder import StagingFolder
from bertkit.data.corpus.shards import shard_name, token_dtype, write_shard
from bertkit.data.readers.sources import Source
from bertkit.text.bulk_encoder import ChunkEncoder
from bertkit.text.tokenizer import Tokenizer

_PORTION_BYTES = 1 << 21
"""Text of one call of the encoder."""


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """Text of one shard, and where its files (`folder`), its record and its hashes (`work`) go."""

    folder: Path
    work: Path
    name: str
    pieces: list[CorpusPiece]
    tokenizer_folder: Path
    tokenizer_fingerprint: str
    near: bool
    """Whether near-duplicate documents are looked for."""


def record_path(work: Path, name: str) -> Path:
    """Path of the record of a finished shard."""
    return work / f"{name}.json"


def write_task_shard(task: ShardTask) -> ShardRecord:
    """Write a shard and its hashes, or what an earlier, killed run did not write of them."""
    record = finished_shard(task.folder, task.work, task.name)
    if record is None:
        record = _write(task)
        write_record(record_path(task.work, task.name), asdict(record))
    write_shard_hashes(task.folder, task.work, task.name, near=task.near)
    return record


def finished_shard(folder: Path, work: Path, name: str) -> ShardRecord | None:
    """The record of a shard whose files are whole."""
    path = record_path(work, name)
    if not path.is_file():
        return None
    try:
        record = read_record(path, ShardRecord, "the shard is written again")
    except InputError as error:
        note(str(error))
        return None
    return record if record.damage(folder, verify=True) is None else None


def _write(task: ShardTask) -> ShardRecord:
    ids, sentence_lengths, document_lengths = [], [], []
    encoder, dtype = _encoder(task.tokenizer_folder, task.tokenizer_fingerprint)
    for lines in _portions(task.pieces):
        portion_ids, lengths = encoder.encode_text(lines.text)
        # Sentences without a token are left out, and documents without such a sentence.
        kept = lengths > 0
        firsts = np.flatnonzero(np.diff(lines.documents[kept], prepend=-1))  # of each document
        ids.append(portion_ids.astype(dtype))
        sentence_lengths.append(lengths[kept])
        document_lengths.append(np.diff(firsts, append=kept.sum()))
    return write_shard(
        task.folder,
        task.name,
        np.concatenate(ids),
        np.concatenate(sentence_lengths),
        np.concatenate(document_lengths),
    )


def _portions(pieces: Sequence[CorpusPiece]) -> Iterator[SentenceLines]:
    """The sentences of pieces, small pieces joined."""
    held: list[SentenceLines] = []
    size = 0
    for piece in pieces:
        held.append(piece.sentences())
        size += len(held[-1].text)
        if size >= _PORTION_BYTES:
            yield SentenceLines.joined(held)
            held, size = [], 0
    if held:
        yield SentenceLines.joined(held)


@lru_cache(maxsize=1)
def _encoder(folder: Path, fingerprint: str) -> tuple[ChunkEncoder, type[np.unsignedinteger[Any]]]:
    """The encoder of this process, which keeps encoded chunks from shard to shard, and the type of its ids."""
    tokenizer = Tokenizer.from_pretrained(folder)
    assert tokenizer.fingerprint == fingerprint
    return ChunkEncoder(tokenizer), token_dtype(tokenizer.vocab_size)


SHARD_BYTES = 1 << 23
_PIECES = 2
"""How many pieces a shard is read in; it may be larger by one piece."""


@dataclass(frozen=True, kw_only=True)
class WrittenShards:
    """The records of a part's shards, the number of all parts' shards, and the SHA-256 of the whole text."""

    records: list[ShardRecord]
    total: int
    text_sha256: str


def write_shards(
    sources: Sequence[Source],
    tokenizer: Tokenizer,
    tokenizer_folder: Path,
    stage: StagingFolder,
    *,
    reading: CorpusOptions,
    near: bool,
    engine: Engine,
    part: MachineShard,
) -> WrittenShards:
    """Read all text, write the part's shards that `stage` lacks, and the tokenizer that the workers use."""
    with atomic_folder(tokenizer_folder) as folder:
        tokenizer.save_pretrained(folder)
    stage.work.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    total = 0

    def tasks(pieces: Iterator[tuple[int, CorpusPiece]]) -> Iterator[ShardTask]:
        nonlocal total
        for chunk in _of_shard_size(pieces):
            index, total = total, total + 1
            if part.of > 1:  # a single part is not compared with others
                for piece in chunk:
                    digest.update(piece.content)
            if part.has(index):
                yield ShardTask(
                    folder=stage.folder,
                    work=stage.work,
                    name=shard_name(index),
                    pieces=chunk,
                    tokenizer_folder=tokenizer_folder,
                    tokenizer_fingerprint=tokenizer.fingerprint,
                    near=near,
                )

    with progress("prepare", sum(source.num_bytes for source in sources) or None, "B") as bar:
        pieces = read_pieces(
            sources, reading, bar.advance, piece_bytes=SHARD_BYTES // _PIECES, as_spans=engine.is_local
        )
        records = list(engine.map(write_task_shard, tasks(pieces)))
    return WrittenShards(records=records, total=total, text_sha256=digest.hexdigest())


def _of_shard_size(pieces: Iterator[tuple[int, CorpusPiece]]) -> Iterator[list[CorpusPiece]]:
    held: list[CorpusPiece] = []
    size = 0
    for piece_bytes, piece in pieces:
        held.append(piece)
        size += piece_bytes
        if size >= SHARD_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held
