"""Fixed instances as google-research/bert makes them: written by `prepare --static`, and their record."""
# I instances, N tokens of all instances, M predictions of all instances.

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bertkit.core.arguments import checked
from bertkit.core.arrays import NpyAppender
from bertkit.core.console import progress
from bertkit.core.errors import InputError
from bertkit.core.files import atomic_folder, atomic_path
from bertkit.core.records import Count, Positive, write_record
from bertkit.data.corpus.manifest import FORMAT, FileRecord, file_record, files_damage, parse_manifest, read_manifest
from bertkit.data.corpus.options import PrepareOptions
from bertkit.data.corpus.output_folder import WORK, prepare_folder
from bertkit.data.corpus.prepare import corpus_fingerprint, describe, write_corpus
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.corpus.shards import token_dtype
from bertkit.data.instances.google_stream import StaticInstance, StaticStream
from bertkit.data.instances.options import StaticOptions
from bertkit.data.readers.sources import Names, Source, resolve_sources
from bertkit.text.tokenizer import Tokenizer

IDS, SEGMENTS, STARTS = "input_ids", "token_type_ids", "starts"
POSITIONS, LABELS, PREDICTION_STARTS = "masked_positions", "masked_labels", "prediction_starts"
RANDOM, ORDER = "next_sentence_labels", "order"


def instance_file(part: str) -> str:
    """File name of one array."""
    return f"instances.{part}.npy"


def array_types(vocab_size: int) -> dict[str, type[np.generic]]:
    """Type of each array."""
    return {
        IDS: token_dtype(vocab_size),  # (N,) after masking
        SEGMENTS: np.uint8,  # (N,)
        STARTS: np.int64,  # (I+1,) where each instance starts in the tokens, and the end of the last
        POSITIONS: np.uint16,  # (M,) counted from the instance's start, ascending
        LABELS: token_dtype(vocab_size),  # (M,) the original ids
        PREDICTION_STARTS: np.int64,  # (I+1,) where each instance starts in the predictions, and the end of the last
        RANDOM: np.uint8,  # (I,) 1 where the second segment is random
        ORDER: np.int64,  # (I,) which instance comes first, second, ...
    }


@contextmanager
def new_instance_arrays(folder: Path, vocab_size: int) -> Iterator[dict[str, NpyAppender]]:
    """Arrays to append to; their files appear in `folder` when the context ends without an error."""
    with ExitStack() as stack:
        arrays = {}
        for part, dtype in array_types(vocab_size).items():
            path = stack.enter_context(atomic_path(folder / instance_file(part)))
            arrays[part] = stack.enter_context(closing(NpyAppender(path, dtype)))
        for part in (STARTS, PREDICTION_STARTS):
            arrays[part].append(np.zeros(1))
        yield arrays


def append_instances(arrays: Mapping[str, NpyAppender], instances: Sequence[StaticInstance]) -> None:
    """Append instances in the order in which they were made."""
    lengths = np.array([len(instance.input_ids) for instance in instances])
    first_segments = np.array([instance.first_segment for instance in instances])
    predictions = np.array([len(instance.positions) for instance in instances])
    arrays[STARTS].append(len(arrays[IDS]) + np.cumsum(lengths))
    arrays[PREDICTION_STARTS].append(len(arrays[POSITIONS]) + np.cumsum(predictions))
    arrays[IDS].append(np.concatenate([instance.input_ids for instance in instances]))
    segments = np.stack([first_segments, lengths - first_segments], 1).ravel()
    arrays[SEGMENTS].append(np.repeat(np.tile([0, 1], len(instances)), segments))
    arrays[POSITIONS].append(np.concatenate([instance.positions for instance in instances]))
    arrays[LABELS].append(np.concatenate([instance.labels for instance in instances]))
    arrays[RANDOM].append(np.array([instance.is_random for instance in instances]))


INSTANCES = "instances"
"""The manifest's `kind`."""


@dataclass(frozen=True, kw_only=True)
class InstanceManifest:
    """A finished folder of fixed instances; `manifest.json` is written last."""

    vocab_size: Positive
    tokenizer_fingerprint: str
    options: dict[str, Any]
    """How the text was read."""
    static: StaticOptions
    sources: list[dict[str, Any]]
    """Name and size of the files that were read."""
    documents: Count
    instances: Positive
    tokens: Count
    """Tokens of all instances, special ones counted."""
    predictions: Count
    files: dict[str, FileRecord]
    """Size and SHA-256 of every array by file name."""

    def damage(self, folder: Path, verify: bool) -> str | None:
        """What is wrong with the first damaged file, None if none is; `verify` compares SHA-256 besides sizes."""
        return files_damage(folder, self.files, verify)

    def write(self, folder: Path) -> None:
        """Write `manifest.json`, whole or not at all."""
        write_record(folder / "manifest.json", {"format": FORMAT, "kind": INSTANCES, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> InstanceManifest:
        """Read `manifest.json`; a folder without one, or with a corpus, raises `InputError`."""
        value, damage = read_manifest(folder)
        if value.pop("kind", None) != INSTANCES:
            raise InputError(f"{folder} holds a corpus, where fixed instances are needed: prepare it with --static")
        return parse_manifest(folder, cls, value, damage)


@checked
def prepare_static(
    sources: Names,
    tokenizer: Tokenizer | str | Path,
    out: str | Path,
    options: PrepareOptions | None = None,
    static: StaticOptions | None = None,
) -> InstanceManifest:
    """Tokenise files, folders, globs or hub data sets and write their instances into the folder `out`.

    Same documents, vocabulary and seed give the instances of create_pretraining_data.py, in its order and with its
    masks. Tokenising uses `options.workers`; the instances come from one random stream, and so from one process.
    Memory holds a document and the instances' order, not the corpus.
    """
    options, static = options or PrepareOptions(), static or StaticOptions()
    out, tokenizer = Path(out), Tokenizer.opened(tokenizer)
    found = resolve_sources(sources)
    parts = [INSTANCES, corpus_fingerprint(found, tokenizer, options), asdict(static)]
    return prepare_folder(
        out,
        hashlib.sha256(json.dumps(parts).encode()).hexdigest(),
        overwrite=options.overwrite,
        read=InstanceManifest.read,
        make=lambda folder: _write_instances(found, tokenizer, folder, options, static),
    )


def _write_instances(
    sources: Sequence[Source], tokenizer: Tokenizer, out: Path, options: PrepareOptions, static: StaticOptions
) -> InstanceManifest:
    tokens = out / WORK / "corpus"
    write_corpus(sources, tokenizer, tokens, options)
    corpus = PreparedCorpus.open(tokens, verify=False)
    stream = StaticStream(corpus, tokenizer, static)
    with (
        new_instance_arrays(out, tokenizer.vocab_size) as arrays,
        progress("instances", corpus.num_documents * static.dupe_factor, "documents") as bar,
    ):
        for instances in stream.documents():
            append_instances(arrays, instances)
            bar.advance()
        arrays[ORDER].append(stream.order(len(arrays[RANDOM])))
    with atomic_folder(out / "tokenizer") as folder:
        tokenizer.save_pretrained(folder)
    shutil.rmtree(tokens)
    paths = [out / instance_file(part) for part in array_types(tokenizer.vocab_size)]
    manifest = InstanceManifest(
        vocab_size=tokenizer.vocab_size,
        tokenizer_fingerprint=tokenizer.fingerprint,
        options=describe(sources, tokenizer, options).options,
        static=static,
        sources=[source.describe() for source in sources],
        documents=corpus.num_documents,
        instances=len(arrays[RANDOM]),
        tokens=len(arrays[IDS]),
        predictions=len(arrays[POSITIONS]),
        files={path.name: file_record(path) for path in paths},
    )
    manifest.write(out)
    return manifest
