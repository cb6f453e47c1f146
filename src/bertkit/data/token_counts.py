"""How often each vocabulary entry is there to predict."""
# V vocabulary.

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bertkit.data.fixed_instances import FixedInstances
from bertkit.data.instance_arrays import LABELS
from bertkit.data.prepared import Prepared

_BLOCK = 1 << 22


def token_counts(prepared: Prepared, max_tokens: int = 1 << 27) -> NDArray[np.int64]:
    """Counts (V,) over a corpus, over blocks spread evenly through a larger one, or over the labels of instances."""
    if isinstance(prepared, FixedInstances):
        return np.bincount(prepared.arrays[LABELS], minlength=prepared.vocab_size)
    total = int(prepared.shard_tokens[-1])
    starts = np.arange(0, total, _BLOCK)[:: max(1, -(-total // max_tokens))]
    counts = np.zeros(prepared.vocab_size, np.int64)
    for start in starts.tolist():
        counts += np.bincount(prepared.tokens(start, min(start + _BLOCK, total)), minlength=prepared.vocab_size)
    return counts
