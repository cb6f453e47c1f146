"""A text as WordPieces alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """n pieces of a text, or of a part of it, without [CLS] and [SEP]."""

    ids: NDArray[np.int32]
    """(n,)"""
    offsets: NDArray[np.int32]
    """(n, 2) where each piece starts and ends, in characters of the text."""

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int) -> Pieces:
        """The pieces from `start` up to `stop`."""
        return Pieces(self.ids[start:stop], self.offsets[start:stop])
