"""What has to be known of a shard to find its repeated lines and documents, as `.npy` files beside its record."""
# N tokens, S sentences, D documents.

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.data.minhash import signatures
from bertkit.data.run_hashes import run_hashes
from bertkit.data.shard import DOCUMENTS, SENTENCES, TOKENS, shard_file
from bertkit.foundation.files import atomic_path

LINE_HASHES, DOCUMENT_HASHES, SIGNATURES = "line-hashes", "document-hashes", "signatures"


def write_shard_hashes(folder: Path, work: Path, name: str, *, near: bool) -> None:
    """Write what `work` lacks: 64-bit hashes of lines (S,) and documents (D,), with `near` signatures (D, P) too.

    8 bytes a line; 8 bytes a document, 520 with its signature.
    """
    parts = [LINE_HASHES, DOCUMENT_HASHES, *([SIGNATURES] if near else [])]
    if all((work / shard_file(name, part)).is_file() for part in parts):
        return
    tokens, sentences, documents = (np.load(folder / shard_file(name, part)) for part in (TOKENS, SENTENCES, DOCUMENTS))
    lines = run_hashes(tokens, sentences)
    arrays: dict[str, NDArray[Any]] = {LINE_HASHES: lines, DOCUMENT_HASHES: run_hashes(lines, documents)}
    if near:
        arrays[SIGNATURES] = signatures(tokens, sentences[documents])
    for part, array in arrays.items():
        with atomic_path(work / shard_file(name, part)) as temporary, temporary.open("wb") as file:
            np.save(file, array)
