"""A text or a pair of texts as token ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class EncodedExample:
    """One sequence as the model reads it: `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`, n tokens."""

    input_ids: NDArray[np.int32]
    """(n,) vocabulary ids."""

    token_type_ids: NDArray[np.int8]
    """(n,) 0 for the first segment and its [CLS] and [SEP], 1 for the second segment and its [SEP]."""

    offsets: NDArray[np.int32]
    """(n, 2) where each token starts and ends, in characters of its segment's text; (0, 0) for added tokens."""

    def __len__(self) -> int:
        return len(self.input_ids)
