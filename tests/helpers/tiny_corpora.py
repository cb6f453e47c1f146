import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bertkit.data.corpus.manifest import Manifest
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.corpus.shards import write_shard

WORDS = ["the", "cat", "sat", "on", "a", "mat", "while", "seven", "dogs", "ran", "over", "hills", "toward", "unknown"]


def make_text(documents: int, seed: int = 0) -> str:
    """Documents of random sentences; every sentence starts with its document's number."""
    draw = np.random.default_rng(seed)
    blocks = []
    for number in range(documents):
        lines = [f"{number} " + " ".join(draw.choice(WORDS, draw.integers(1, 30))) for _ in range(draw.integers(1, 12))]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def lay_out(folder: Path, lengths: Sequence[Sequence[int]], first_id: int = 0) -> PreparedCorpus:
    sentences = np.array([tokens for document in lengths for tokens in document], np.int64)
    documents = np.array([len(document) for document in lengths])
    ids = np.arange(first_id, first_id + sentences.sum(), dtype=np.uint32)
    record = write_shard(folder, "shard-00000", ids, sentences, documents)
    Manifest(vocab_size=100_000, tokenizer_fingerprint="", options={}, sources=[], shards=[record]).write(folder)
    return PreparedCorpus.open(folder)


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, by name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def spy(function: Callable, calls: list) -> Callable:
    """The function, which notes its arguments."""

    def spied(*arguments: object) -> object:
        calls.append(arguments)
        return function(*arguments)

    return spied
