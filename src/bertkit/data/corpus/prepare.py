"""A corpus as memory-mapped shards of token ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bertkit.data.assemble import Description, assemble
from bertkit.data.corpus_options import CorpusOptions
from bertkit.data.corpus_shards import SHARD_BYTES, write_shards
from bertkit.data.duplicate_options import DuplicateOptions
from bertkit.data.engine import EngineOptions
from bertkit.data.manifest import FORMAT, Manifest
from bertkit.data.part import Part
from bertkit.data.preparation import prepare_folder
from bertkit.data.sources import Source, resolve_sources
from bertkit.data.stage import Stage
from bertkit.foundation.console import note
from bertkit.foundation.errors import InputError
from bertkit.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """How a corpus is prepared."""

    corpus: CorpusOptions = field(default_factory=CorpusOptions)
    duplicates: DuplicateOptions = field(default_factory=DuplicateOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)
    workers: int = 1
    """Processes that tokenise; the result is the same for any number."""

    overwrite: bool = False
    """Replace what was prepared from another corpus or with other options."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError(f"workers must be at least 1, got {self.workers}")


def prepare(
    sources: Sequence[str | Path], tokenizer: Tokenizer, out: str | Path, options: PrepareOptions | None = None
) -> Manifest:
    """Tokenise files, folders, globs or hub data sets into the folder `out`.

    Shards are cut where the corpus decides, each written whole or not at all, `manifest.json` last. A call that was
    killed goes on with the shards that are missing when it is made again; one that fails on the user's input leaves
    nothing of its own. Memory does not grow with the corpus.
    """
    options = options or PrepareOptions()
    out = Path(out)
    found = resolve_sources(sources)
    manifest = prepare_folder(
        out,
        corpus_fingerprint(found, tokenizer, options),
        overwrite=options.overwrite,
        read=Manifest.read,
        make=lambda: write_corpus(found, tokenizer, out, options),
    )
    warn_of_one_document(manifest, out)
    return manifest


def write_corpus(sources: Sequence[Source], tokenizer: Tokenizer, out: Path, options: PrepareOptions) -> Manifest:
    """Write the shards that `out` lacks, `manifest.json` last."""
    stage = Stage.of(out, in_place=not options.duplicates.any)
    with options.engine.open(options.workers) as engine:
        written = write_shards(
            sources,
            tokenizer,
            out / "tokenizer",
            stage,
            reading=options.corpus,
            near=options.duplicates.drop_near_duplicates is not None,
            engine=engine,
            part=Part(),
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
    """What decides the shards; files count by path, size and time of change."""
    parts = [FORMAT, SHARD_BYTES, tokenizer.fingerprint, asdict(options.corpus), [source.state() for source in sources]]
    # Nothing where nothing is left out, so that folders of older versions are known again.
    parts += [options.duplicates.record()] if options.duplicates.any else []
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def warn_of_one_document(manifest: Manifest, out: Path) -> None:
    """Say what a corpus of one document cannot do."""
    if manifest.documents == 1:
        note(
            f"{out} holds one document, and next-sentence prediction needs two: put blank lines between documents, "
            "add documents, or pretrain with --no-nsp"
        )
