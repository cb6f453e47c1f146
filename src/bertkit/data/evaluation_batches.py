"""One fixed pass over a held-out corpus."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bertkit.data.assembly import Assembler
from bertkit.data.instances import InstanceOptions, plan_epoch
from bertkit.data.masking import MaskingOptions
from bertkit.data.prepared_corpus import PreparedCorpus
from bertkit.data.pretraining_batch import PretrainingBatch
from bertkit.foundation.randomness import derive_key, generator

_SORTED_TOGETHER = 1024
"""Sequences that are sorted by length and masked at a time."""


def evaluation_batches(
    corpus: PreparedCorpus,
    instances: InstanceOptions,
    masking: MaskingOptions,
    *,
    micro_batch_tokens: int,
    seed: int,
    max_sequences: int | None = None,
) -> Iterator[PretrainingBatch]:
    """Yield every instance once, or a random `max_sequences` of them; all calls give the same batches."""
    plan = plan_epoch(corpus, instances, seed, 0)
    order = generator(derive_key(seed, "evaluation order")).permutation(len(plan))[:max_sequences]
    assembler = Assembler.of(corpus, masking)
    for start in range(0, len(order), _SORTED_TOGETHER):
        rows = order[start : start + _SORTED_TOGETHER]
        yield from assembler.batches(
            plan,
            rows,
            next_sentence=instances.next_sentence,
            numbers=start + np.arange(len(rows)),
            key=derive_key(seed, "evaluation masking"),
            micro_batch_tokens=micro_batch_tokens,
        )
