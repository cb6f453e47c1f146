"""Texts as WordPieces alone."""
# P pieces, S runs.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.foundation.ragged import run_starts


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """S texts, or parts of texts, without [CLS] and [SEP]: run s has `lengths[s]` pieces from `starts[s]` on."""

    ids: NDArray[np.int32]
    """(P,)"""
    offsets: NDArray[np.int32]
    """(P, 2) where each piece starts and ends, in characters of its text."""
    starts: NDArray[np.int64]
    """(S,)"""
    lengths: NDArray[np.int64]
    """(S,)"""

    @classmethod
    def of(cls, encodings: Sequence[Any]) -> Pieces:
        """The library's encodings, a run each."""
        lengths = np.array([len(encoding) for encoding in encodings], np.int64)
        total = int(lengths.sum())
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32, total)
        offsets = chain.from_iterable(chain.from_iterable(encoding.offsets for encoding in encodings))
        return cls(ids, np.fromiter(offsets, np.int32, 2 * total).reshape(-1, 2), run_starts(lengths), lengths)

    def __len__(self) -> int:
        return len(self.starts)

    def cut(self, lengths: NDArray[np.int64] | int) -> Pieces:
        """Every run's first pieces, at most so many."""
        return Pieces(self.ids, self.offsets, self.starts, np.minimum(self.lengths, lengths))

    def parts(self, runs: NDArray[np.int64], starts: NDArray[np.int64], length: NDArray[np.int64]) -> Pieces:
        """Of `runs` the parts from `starts` on, at most `length` pieces each."""
        lengths = np.minimum(self.lengths[runs] - starts, length)
        return Pieces(self.ids, self.offsets, self.starts[runs] + starts, lengths)
