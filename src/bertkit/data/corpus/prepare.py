"""A prepared corpus from raw text: tokenised into shards, deduplicated, recorded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bertkit.core.arguments import checked
from bertkit.core.console import note
from bertkit.core.errors import InputError
from bertkit.core.workers import Engine, MachineShard
from bertkit.data.corpus.dedup import FilterTask, ShardSet, find_duplicates, run_filter
from bertkit.data.corpus.manifest import FORMAT, Duplicates, Manifest, ShardRecord
from bertkit.data.corpus.options import DuplicateOptions, PrepareOptions
from bertkit.data.corpus.output_folder import WORK, StagingFolder, prepare_folder
from bertkit.data.corpus.shards import shard_name
from bertkit.data.corpus.write_shards import SHARD_BYTES, write_shards
from bertkit.data.readers.sources import Names, Source, resolve_sources
from bertkit.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a corpus was prepared from and how, for its manifest."""

    vocab_size: int
    tokenizer_fingerprint: str
    options: dict[str, Any]
    sources: list[dict[str, Any]]


def assemble(
    out: Path, stage: StagingFolder, records: Sequence[ShardRecord], about: Description, engine: Engine
) -> Manifest:
    """Count what repeats, leave out what `about.options` say, and write `manifest.json` into `out`."""
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
    """A task for each shard that is not left out as a whole; the results are numbered consecutively."""
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


@checked
def prepare(
    sources: Names, tokenizer: Tokenizer | str | Path, out: str | Path, options: PrepareOptions | None = None
) -> Manifest:
    """Tokenise files, folders, globs or hub data sets into the folder `out`; `tokenizer` may be its folder.

    Shards are cut where the corpus decides, each written whole or not at all, `manifest.json` last. A call that was
    killed resumes with the missing shards when it is made again; one that raises `InputError` leaves nothing behind.
    Memory does not grow with the corpus.
    """
    options = options or PrepareOptions()
    out, tokenizer = Path(out), Tokenizer.opened(tokenizer)
    found = resolve_sources(sources)
    manifest = prepare_folder(
        out,
        corpus_fingerprint(found, tokenizer, options),
        overwrite=options.overwrite,
        read=Manifest.read,
        make=lambda folder: write_corpus(found, tokenizer, folder, options),
    )
    warn_of_one_document(manifest, out)
    return manifest


def write_corpus(sources: Sequence[Source], tokenizer: Tokenizer, out: Path, options: PrepareOptions) -> Manifest:
    """Write the shards that `out` lacks, `manifest.json` last."""
    stage = StagingFolder.of(out, in_place=not options.duplicates.any)
    with options.engine.open(options.workers) as engine:
        written = write_shards(
            sources,
            tokenizer,
            out / "tokenizer",
            stage,
            reading=options.corpus,
            near=options.duplicates.drop_near_duplicates is not None,
            engine=engine,
            part=MachineShard(),
        )
        return assemble(out, stage, written.records, describe(sources, tokenizer, options), engine)


def describe(sources: Sequence[Source], tokenizer: Tokenizer, options: PrepareOptions) -> Description:
    """What the manifest says of a preparation."""
    return Description(
        vocab_size=tokenizer.vocab_size,
        tokenizer_fingerprint=tokenizer.fingerprint,
        options={**asdict(options.corpus), **options.duplicates.record()},
        sources=[source.describe() for source in sources],
    )


def corpus_fingerprint(sources: Sequence[Source], tokenizer: Tokenizer, options: PrepareOptions) -> str:
    """Hash of all that decides the shards; a file counts by path, size and time of change."""
    parts = [FORMAT, SHARD_BYTES, tokenizer.fingerprint, asdict(options.corpus), [source.state() for source in sources]]
    # Only where something is left out, so that folders of older versions keep their fingerprint.
    parts += [options.duplicates.record()] if options.duplicates.any else []
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def warn_of_one_document(manifest: Manifest, out: Path) -> None:
    """Warn that next-sentence prediction needs two documents."""
    if manifest.documents == 1:
        note(
            f"{out} holds one document, and next-sentence prediction needs two: put blank lines between documents, "
            "add documents, or pretrain with --no-nsp"
        )
