"""A corpus as fixed instances: the instance stream of google-research/bert."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bertkit.data.instance_arrays import (
    IDS,
    ORDER,
    POSITIONS,
    RANDOM,
    append_instances,
    array_types,
    instance_file,
    new_instance_arrays,
)
from bertkit.data.instance_manifest import INSTANCES, InstanceManifest
from bertkit.data.manifest import file_record
from bertkit.data.preparation import WORK, prepare_folder
from bertkit.data.prepare import PrepareOptions, corpus_fingerprint, describe, write_corpus
from bertkit.data.prepared_corpus import PreparedCorpus
from bertkit.data.sources import Source, resolve_sources
from bertkit.data.static_options import StaticOptions
from bertkit.data.static_stream import StaticStream
from bertkit.foundation.console import progress
from bertkit.foundation.files import atomic_folder
from bertkit.text.tokenizer import Tokenizer


def prepare_static(
    sources: Sequence[str | Path],
    tokenizer: Tokenizer,
    out: str | Path,
    options: PrepareOptions | None = None,
    static: StaticOptions | None = None,
) -> InstanceManifest:
    """Tokenise files, folders, globs or hub data sets and write their instances into the folder `out`.

    Same documents, vocabulary and seed give the instances of create_pretraining_data.py, in its order and with its
    masks. Tokenising uses `options.workers`; the instances come from one random stream, so from one process. Memory
    holds a document and the instances' order, not the corpus.
    """
    options, static = options or PrepareOptions(), static or StaticOptions()
    out = Path(out)
    found = resolve_sources(sources)
    parts = [INSTANCES, corpus_fingerprint(found, tokenizer, options), asdict(static)]
    return prepare_folder(
        out,
        hashlib.sha256(json.dumps(parts).encode()).hexdigest(),
        overwrite=options.overwrite,
        read=InstanceManifest.read,
        make=lambda: _write_instances(found, tokenizer, out, options, static),
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
