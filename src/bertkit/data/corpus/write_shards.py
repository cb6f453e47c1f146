"""What a worker of `prepare` does: one shard after another, from text to files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bertkit.data.corpus_pieces import CorpusPiece
from bertkit.data.manifest import ShardRecord
from bertkit.data.sentence_lines import SentenceLines
from bertkit.data.shard import token_dtype, write_shard
from bertkit.data.shard_hashes import write_shard_hashes
from bertkit.foundation.files import read_json, write_json
from bertkit.text.chunk_encoder import ChunkEncoder
from bertkit.text.tokenizer import Tokenizer

_PORTION_BYTES = 1 << 21
"""Text that is worth a call of the encoder."""


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
    """Whether documents that resemble others are looked for."""


def record_path(work: Path, name: str) -> Path:
    """Where the record of a finished shard lies."""
    return work / f"{name}.json"


def run_task(task: ShardTask) -> ShardRecord:
    """Write what there is not yet from an earlier, killed run."""
    record = finished_shard(task.folder, task.work, task.name)
    if record is None:
        record = _write(task)
        write_json(record_path(task.work, task.name), asdict(record))
    write_shard_hashes(task.folder, task.work, task.name, near=task.near)
    return record


def finished_shard(folder: Path, work: Path, name: str) -> ShardRecord | None:
    """The record of a shard whose files are whole."""
    path = record_path(work, name)
    if not path.is_file():
        return None
    record = ShardRecord(**read_json(path))
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
    """The sentences of pieces, small ones together."""
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
    """Encoder of this process, which remembers from shard to shard what it has encoded, and the type of its ids."""
    tokenizer = Tokenizer.from_pretrained(folder)
    assert tokenizer.fingerprint == fingerprint
    return ChunkEncoder(tokenizer), token_dtype(tokenizer.vocab_size)
