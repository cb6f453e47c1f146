"""The text of a corpus as shards, some or all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bertkit.data.corpus import CorpusOptions, RawDocument, in_portions, read_raw_documents
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

SHARD_CHARS = 8_000_000


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

    def tasks(documents: Iterator[RawDocument]) -> Iterator[ShardTask]:
        nonlocal total
        for chunk in in_portions(documents, SHARD_CHARS):
            index, total = total, total + 1
            if part.of > 1:  # a part of one needs not be compared with others
                for document in chunk:
                    digest.update(document.text.encode("utf-8", "surrogatepass") + b"\0")
            if part.has(index):
                yield ShardTask(
                    folder=stage.folder,
                    work=stage.work,
                    name=shard_name(index),
                    documents=chunk,
                    tokenizer_folder=tokenizer_folder,
                    tokenizer_fingerprint=tokenizer.fingerprint,
                    near=near,
                )

    with progress("prepare", sum(source.num_bytes for source in sources) or None, "B") as bar:
        documents = read_raw_documents(sources, reading, bar.advance)
        records = list(engine.map(run_task, tasks(documents)))
    return WrittenShards(records=records, total=total, text_sha256=digest.hexdigest())
