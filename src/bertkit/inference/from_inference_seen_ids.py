"""Ids of texts that stand twice."""
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

    def remark(self) -> str | None:
        """How many texts have an id that stands before; None where none has."""
        keys = np.frombuffer(self._digests, np.uint64)  # (N,)
        order = np.argsort(keys, kind="stable")
        again = order[1:][keys[order][1:] == keys[order][:-1]]
        if not len(again):
            return None
        return f"texts whose id stands before: {len(again):,} (the first: text {again.min() + 1:,}); all are written"
