"""Words in a row of token ids."""
# V vocabulary, n tokens, w words.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True, eq=False)
class WordEntries:
    """Which entries (V,) continue a word, and which are marks: neither a letter nor a digit in them, nor [UNK]."""

    continues: NDArray[np.bool_]
    is_mark: NDArray[np.bool_]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> WordEntries:
        """Take it from a tokenizer."""
        continues = tokenizer.continuation_mask()
        spelled = np.array([any(map(str.isalnum, entry)) for entry in tokenizer.wordpiece.vocabulary])
        return cls(continues=continues, is_mark=~spelled & ~continues)

    def words(
        self, ids: NDArray[np.unsignedinteger[Any]]
    ) -> tuple[NDArray[np.unsignedinteger[Any]], NDArray[np.int64], NDArray[np.int64]]:
        """Ids without marks, the bounds (w+1,) of the words among them, and where each word starts in `ids` (w,).

        A mark that is continued, as the sign of a currency by its number, is a word.
        """
        continues = self.continues[ids]
        alone = self.is_mark[ids]
        alone[:-1] &= ~continues[1:]
        places = np.flatnonzero(~alone)
        starts = np.flatnonzero(~continues[places])
        return ids[places], np.append(starts, len(places)), places[starts]
