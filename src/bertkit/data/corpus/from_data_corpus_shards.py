"""The text of a corpus as shards, some or all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bertkit.data.corpus_options import CorpusOptions
from bertkit.data.corpus_pieces import CorpusPiece, read_pieces
from bertkit.data.engine import Engine
from bertkit.data.manifest import ShardRecord
from bertkit.data.part import Part
from bertkit.data.shard import shard_name
from bertkit.data.shard_worker import ShardTask, run_task
from bertkit.data.sources import Source
from bertkit.data.stage import Stage
from bertkit.foundation.console import progress
from bertkit.foundation.files import atomic_folder
from bertkit.text.tokenizer import Tokenizer

SHARD_BYTES = 1 << 23
_PIECES = 2
"""How many pieces a shard is read in: so much it may be larger, at most."""


@dataclass(frozen=True, kw_only=True)
class WrittenShards:
    """The records of a part's shards, of how many there are in all, and the SHA-256 of the whole text."""

    records: list[ShardRecord]
    total: int
    text_sha256: str


def write_shards(
    sources: Sequence[Source],
    tokenizer: Tokenizer,
    tokenizer_folder: Path,
    stage: Stage,
    *,
    reading: CorpusOptions,
    near: bool,
    engine: Engine,
    part: Part,
) -> WrittenShards:
    """Read all text and write what `stage` lacks of the part's shards, and the tokenizer for those who make them."""
    with atomic_folder(tokenizer_folder) as folder:
        tokenizer.save_pretrained(folder)
    stage.work.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    total = 0

    def tasks(pieces: Iterator[tuple[int, CorpusPiece]]) -> Iterator[ShardTask]:
        nonlocal total
        for chunk in _of_shard_size(pieces):
            index, total = total, total + 1
            if part.of > 1:  # a part of one needs not be compared with others
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
        records = list(engine.map(run_task, tasks(pieces)))
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
