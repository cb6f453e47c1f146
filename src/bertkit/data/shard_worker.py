"""What a worker process of `prepare` does: one shard after another, from text to files."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np

from bertkit.data.corpus import RawDocument
from bertkit.data.manifest import ShardRecord
from bertkit.data.shard import token_dtype, write_shard
from bertkit.foundation.files import read_json, write_json
from bertkit.text.chunk_encoder import ChunkEncoder
from bertkit.text.tokenizer import Tokenizer

_ENCODED_CHARS = 1_000_000
"""Text that is encoded at a time: small against what the encoder remembers."""


@dataclass(frozen=True)
class ShardTask:
    """Text of one shard and where its files and its record go."""

    folder: Path
    record_path: Path
    name: str
    documents: list[RawDocument]
    tokenizer_fingerprint: str


def start_worker() -> None:
    """Make this process end with its parent, killed or not, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def run_task(task: ShardTask) -> ShardRecord:
    """Write the shard unless it is there from an earlier, killed run."""
    if task.record_path.is_file():
        record = ShardRecord(**read_json(task.record_path))
        if record.damage(task.folder, verify=True) is None:
            return record
    ids, sentence_lengths, document_lengths = [], [], []
    encoder, dtype = _encoder(task.folder / "tokenizer", task.tokenizer_fingerprint)
    for documents in _portions(task.documents):
        portion = [document.sentences() for document in documents]
        portion_ids, lengths = encoder.encode_lines([sentence for sentences in portion for sentence in sentences])
        owner = np.repeat(np.arange(len(portion)), [len(sentences) for sentences in portion])
        # Sentences without a token are left out, and documents without such a sentence.
        sentences_of = np.bincount(owner[lengths > 0], minlength=len(portion))
        ids.append(portion_ids.astype(dtype))
        sentence_lengths.append(lengths[lengths > 0])
        document_lengths.append(sentences_of[sentences_of > 0])
    record = write_shard(
        task.folder,
        task.name,
        np.concatenate(ids),
        np.concatenate(sentence_lengths),
        np.concatenate(document_lengths),
    )
    write_json(task.record_path, asdict(record))
    return record


def _portions(documents: list[RawDocument]) -> Iterator[list[RawDocument]]:
    portion: list[RawDocument] = []
    size = 0
    for document in documents:
        portion.append(document)
        size += len(document.text)
        if size >= _ENCODED_CHARS:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


@lru_cache(maxsize=1)
def _encoder(folder: Path, fingerprint: str) -> tuple[ChunkEncoder, type[np.unsignedinteger[Any]]]:
    """Encoder of this process, which remembers from shard to shard what it has encoded, and the type of its ids."""
    tokenizer = Tokenizer.from_pretrained(folder)
    assert tokenizer.fingerprint == fingerprint
    return ChunkEncoder(tokenizer), token_dtype(tokenizer.vocab_size)
