"""A corpus as memory-mapped shards of token ids."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path

from bertkit.data.corpus import CorpusOptions, RawDocument, read_raw_documents
from bertkit.data.manifest import FORMAT, Manifest, ShardRecord
from bertkit.data.preparation import WORK, prepare_folder
from bertkit.data.shard import shard_name
from bertkit.data.shard_worker import ShardTask, run_task, start_worker
from bertkit.data.sources import Source, resolve_sources
from bertkit.foundation.console import note, progress
from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_folder
from bertkit.text.tokenizer import Tokenizer

_SHARD_CHARS = 8_000_000


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """How a corpus is prepared."""

    corpus: CorpusOptions = field(default_factory=CorpusOptions)
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
    nothing. Memory does not grow with the corpus.
    """
    options = options or PrepareOptions()
    out = Path(out)
    found = resolve_sources(sources)
    manifest = prepare_folder(
        out,
        corpus_fingerprint(found, tokenizer, options.corpus),
        overwrite=options.overwrite,
        read=Manifest.read,
        make=lambda: write_corpus(found, tokenizer, out, options),
    )
    if manifest.documents == 1:
        note(
            f"{out} holds one document, and next-sentence prediction needs two: put blank lines between documents, "
            "add documents, or pretrain with --no-nsp"
        )
    return manifest


def write_corpus(sources: Sequence[Source], tokenizer: Tokenizer, out: Path, options: PrepareOptions) -> Manifest:
    """Write the shards that `out` lacks, `manifest.json` last."""
    with atomic_folder(out / "tokenizer") as folder:
        tokenizer.save_pretrained(folder)
    with progress("prepare", sum(source.num_bytes for source in sources) or None, "B") as bar:
        documents = read_raw_documents(sources, options.corpus, bar.advance)
        tasks = (
            ShardTask(
                folder=out,
                record_path=out / WORK / f"{shard_name(index)}.json",
                name=shard_name(index),
                documents=chunk,
                tokenizer_fingerprint=tokenizer.fingerprint,
            )
            for index, chunk in enumerate(_chunks(documents))
        )
        shards = _write_shards(tasks, options.workers)
    manifest = Manifest(
        vocab_size=tokenizer.vocab_size,
        tokenizer_fingerprint=tokenizer.fingerprint,
        options=asdict(options.corpus),
        sources=[source.describe() for source in sources],
        shards=shards,
    )
    if manifest.tokens == 0:
        raise InputError("the corpus is empty: the tokenizer finds no token in its text")
    manifest.write(out)
    return manifest


def _chunks(documents: Iterator[RawDocument]) -> Iterator[list[RawDocument]]:
    """Group documents into shards, by the text alone."""
    chunk: list[RawDocument] = []
    size = 0
    for document in documents:
        chunk.append(document)
        size += len(document.text)
        if size >= _SHARD_CHARS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _write_shards(tasks: Iterator[ShardTask], workers: int) -> list[ShardRecord]:
    """Run the tasks in order, a bounded number of them at a time."""
    if workers == 1:
        return [run_task(task) for task in tasks]
    shards: list[ShardRecord] = []
    pending: deque[Future[ShardRecord]] = deque()
    pool = ProcessPoolExecutor(workers, get_context("spawn"), start_worker)
    try:
        for task in tasks:
            pending.append(pool.submit(run_task, task))
            if len(pending) > workers:
                shards.append(pending.popleft().result())
        shards.extend(future.result() for future in pending)
    except BrokenProcessPool:
        raise InputError("a worker process was killed, perhaps for want of memory: use fewer workers") from None
    finally:
        pool.shutdown(cancel_futures=True)
    return shards


def corpus_fingerprint(sources: Sequence[Source], tokenizer: Tokenizer, options: CorpusOptions) -> str:
    """What decides the shards; files count by path, size and time of change."""
    parts = [FORMAT, _SHARD_CHARS, tokenizer.fingerprint, asdict(options), [source.state() for source in sources]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
