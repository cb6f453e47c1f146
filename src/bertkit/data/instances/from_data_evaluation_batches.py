"""One fixed pass over held-out instances."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bertkit.data.instance_source import InstanceSource
from bertkit.data.pretraining_batch import PretrainingBatch
from bertkit.foundation.randomness import derive_key, generator

_SORTED_TOGETHER = 1024
"""Sequences that are sorted by length and masked at a time."""


def evaluation_batches(
    source: InstanceSource, *, micro_batch_tokens: int, seed: int, max_sequences: int | None = None
) -> Iterator[PretrainingBatch]:
    """Yield every instance of epoch 0 once, or a random `max_sequences` of them; all calls give the same batches."""
    order = generator(derive_key(seed, "evaluation order")).permutation(source.count(0))[:max_sequences]
    for start in range(0, len(order), _SORTED_TOGETHER):
        rows = order[start : start + _SORTED_TOGETHER]
        numbers = start + np.arange(len(rows))
        yield from source.batches(0, rows, numbers=numbers, micro_batch_tokens=micro_batch_tokens)
