"""Which texts have an id twice; apart from the files of vectors, because predicting needs it without their pyarrow."""
# N texts.

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


class SeenIds:
    """The ids of all texts so far, in order: eight bytes a text are all that is kept."""

    def __init__(self) -> None:
        self._digests = bytearray()

    def add(self, ids: Iterable[object]) -> None:
        """Take the ids of the next texts."""
        for one in ids:
            self._digests += hashlib.blake2b(str(one).encode(), digest_size=8).digest()

    def warning(self) -> str | None:
        """How many texts have the id of an earlier text; None where none has."""
        keys = np.frombuffer(self._digests, np.uint64)  # (N,)
        order = np.argsort(keys, kind="stable")
        repeated = order[1:][keys[order][1:] == keys[order][:-1]]
        if not len(repeated):
            return None
        first = repeated.min() + 1
        return f"texts with the id of an earlier text: {len(repeated):,} (the first: text {first:,}); all are written"
