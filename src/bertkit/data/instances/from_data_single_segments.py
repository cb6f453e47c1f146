"""Sequences of one segment, for training without next-sentence prediction."""
# I instances, D documents of the view.

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bertkit.data.draws import InstanceDraws
from bertkit.data.instance_plan import InstancePlan


def plan_segments(
    *,
    documents: NDArray[np.int64],
    document_sentences: NDArray[np.int64],
    sentence_tokens: NDArray[np.int64],
    max_num_tokens: int,
    short_seq_prob: float,
    draws: InstanceDraws,
) -> InstancePlan:
    """Fill each sequence with whole sentences of one document up to its target length.

    A sentence longer than the target is cut into pieces, so that every token is in exactly one instance.
    """
    target = draws.target_lengths(documents, max_num_tokens, short_seq_prob)  # (D,)
    start = sentence_tokens[document_sentences[documents]]
    end = sentence_tokens[document_sentences[documents + 1]]
    starts, lengths = [], []
    while len(start):
        stop = sentence_tokens[np.searchsorted(sentence_tokens, start + target, side="right") - 1]
        stop = np.minimum(np.where(stop > start, stop, start + target), end)
        starts.append(start)
        lengths.append(stop - start)
        alive = np.flatnonzero(stop < end)
        start, end, target = stop[alive], end[alive], target[alive]
    a_start, a_length = np.concatenate(starts), np.concatenate(lengths)
    nothing = np.zeros(len(a_start), np.int64)
    return InstancePlan(
        a_start=a_start,
        a_length=a_length,
        b_start=nothing,
        b_length=nothing,
        is_random=np.zeros(len(a_start), bool),
    )
