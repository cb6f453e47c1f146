"""The last steps of a preparation, when all text lies in shards: repeated text counted and left out, the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bertkit.data.duplicate_options import DuplicateOptions
from bertkit.data.duplicates import ShardSet, find_duplicates
from bertkit.data.engine import Engine
from bertkit.data.manifest import Duplicates, Manifest, ShardRecord
from bertkit.data.preparation import WORK
from bertkit.data.shard import shard_name
from bertkit.data.shard_filter import FilterTask, run_filter
from bertkit.data.stage import Stage
from bertkit.foundation.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Description:
    """What decides a corpus, for its manifest."""

    vocab_size: int
    tokenizer_fingerprint: str
    options: dict[str, Any]
    sources: list[dict[str, Any]]


def assemble(out: Path, stage: Stage, records: Sequence[ShardRecord], about: Description, engine: Engine) -> Manifest:
    """Count what is repeated, leave out what `about.options` say, and write `manifest.json` into `out`."""
    if not any(record.tokens for record in records):
        names = ", ".join(str(source["name"]) for source in about.sources)
        raise InputError(f"the corpus is empty: {names} holds no text in which the tokenizer finds a token")
    options = DuplicateOptions.of(about.options)
    shards = ShardSet(folder=stage.folder, work=stage.work, records=records)
    left_out = stage.work / "left-out.npy"
    found = find_duplicates(shards, options, left_out, engine)
    kept = list(records)
    if options.any:
        kept = list(engine.map(run_filter, _filter_tasks(out, shards, left_out)))
    manifest = Manifest(
        vocab_size=about.vocab_size,
        tokenizer_fingerprint=about.tokenizer_fingerprint,
        options=about.options,
        sources=about.sources,
        shards=kept,
        duplicates=_with_dropped(found, records, kept),
    )
    manifest.write(out)
    return manifest


def _filter_tasks(out: Path, shards: ShardSet, left_out: Path) -> Iterator[FilterTask]:
    """A task for each shard of which something stays; these get consecutive names."""
    index = first_line = 0
    for record in shards.records:
        flags = np.load(left_out, mmap_mode="r")[first_line : first_line + record.sentences]
        if not flags.all():
            yield FilterTask(
                stage=shards.folder,
                staged=record.name,
                folder=out,
                work=out / WORK,
                name=shard_name(index),
                left_out=left_out,
                first_line=first_line,
            )
            index += 1
        first_line += record.sentences


def _with_dropped(found: Duplicates, read: Sequence[ShardRecord], kept: Sequence[ShardRecord]) -> Duplicates:
    documents, sentences, tokens = (
        sum(getattr(record, name) for record in read) - sum(getattr(record, name) for record in kept)
        for name in ("documents", "sentences", "tokens")
    )
    return replace(found, dropped_documents=documents, dropped_sentences=sentences, dropped_tokens=tokens)
