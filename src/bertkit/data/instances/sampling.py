"""Next-sentence pairs by the procedure of the BERT paper (Devlin et al. 2019, appendix A.2).

All documents advance in lockstep: round k draws the k-th instance of every document that still has sentences, so
that a corpus takes as many NumPy steps as its longest document has instances.
"""
# I instances, D documents of the view, S sentences.

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.data.draws import InstanceDraws
from bertkit.data.instance_plan import InstancePlan


def plan_pairs(
    *,
    documents: NDArray[np.int64],
    document_sentences: NDArray[np.int64],
    sentence_tokens: NDArray[np.int64],
    max_num_tokens: int,
    short_seq_prob: float,
    draws: InstanceDraws,
) -> InstancePlan:
    """Draw segments A and B for every instance of the documents; needs two documents."""
    targets = draws.target_lengths(documents, max_num_tokens, short_seq_prob)  # (D,)
    place, number, first, middle, last, is_random = _cut_documents(
        documents, targets, document_sentences, sentence_tokens, draws
    )  # each (I,)
    a_start = sentence_tokens[first]
    a_length = sentence_tokens[middle] - a_start
    b_start = sentence_tokens[middle]
    b_length = sentence_tokens[last] - b_start

    rows = np.flatnonzero(is_random)
    b_start[rows], b_length[rows] = _random_segments(
        place=place[rows],
        number=number[rows],
        wanted=targets[place[rows]] - a_length[rows],
        documents=documents,
        document_sentences=document_sentences,
        sentence_tokens=sentence_tokens,
        draws=draws,
    )
    a_removed, b_removed = removed_tokens(a_length, b_length, max_num_tokens)
    return InstancePlan(
        a_start=a_start + draws.heads("front of a", a_removed),
        a_length=a_length - a_removed,
        b_start=b_start + draws.heads("front of b", b_removed),
        b_length=b_length - b_removed,
        is_random=is_random,
    )


def _cut_documents(
    documents: NDArray[np.int64],
    targets: NDArray[np.int64],
    document_sentences: NDArray[np.int64],
    sentence_tokens: NDArray[np.int64],
    draws: InstanceDraws,
) -> tuple[NDArray[Any], ...]:
    """Cut each document into instances.

    Returns, for every instance: the place of its document among `documents`, its number in the document, the
    sentences [first, middle) of A and [middle, last) of a B that follows, and whether B is random instead.
    """
    place = np.arange(len(documents))
    first, stop = document_sentences[documents], document_sentences[documents + 1]
    document, target = documents, targets
    rounds: list[tuple[NDArray[Any], ...]] = []
    while len(place):
        number = len(rounds)
        reached = np.searchsorted(sentence_tokens, sentence_tokens[first] + target)
        last = np.minimum(reached, stop)
        choices = np.maximum(last - first - 1, 1)  # randint(1, n - 1) for n >= 2 sentences, else 1
        a_sentences = 1 + (draws.uniform("a sentences", document, number) * choices).astype(np.int64)
        is_random = (last - first == 1) | (draws.uniform("random b", document, number) < 0.5)
        middle = first + a_sentences
        rounds.append((place, np.full(len(place), number), first, middle, last, is_random))
        # A random B leaves the sentences behind A unused: the next instance starts with them.
        first = np.where(is_random, middle, last)
        alive = np.flatnonzero(first < stop)
        if len(alive) < len(place):
            place, first, stop, document, target = (array[alive] for array in (place, first, stop, document, target))
    return tuple(np.concatenate(column) for column in zip(*rounds, strict=True))


def _random_segments(
    *,
    place: NDArray[np.int64],
    number: NDArray[np.int64],
    wanted: NDArray[np.int64],
    documents: NDArray[np.int64],
    document_sentences: NDArray[np.int64],
    sentence_tokens: NDArray[np.int64],
    draws: InstanceDraws,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw start and length of segments of at least `wanted` tokens (and one sentence) from other documents."""
    document = documents[place]
    other = (draws.uniform("other document", document, number) * (len(documents) - 1)).astype(np.int64)
    other = documents[other + (other >= place)]
    begin, end = document_sentences[other], document_sentences[other + 1]
    sentence = begin + (draws.uniform("other sentence", document, number) * (end - begin)).astype(np.int64)
    start = sentence_tokens[sentence]
    reached = np.searchsorted(sentence_tokens, start + np.maximum(wanted, 1))
    return start, sentence_tokens[np.minimum(reached, end)] - start


def removed_tokens(
    a_length: NDArray[np.int64], b_length: NDArray[np.int64], max_num_tokens: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many tokens each segment loses when one at a time comes off the longer, or off B where both are equal."""
    excess = np.maximum(a_length + b_length - max_num_tokens, 0)
    a_levelled = np.minimum(excess, np.maximum(a_length - b_length, 0))
    b_levelled = np.minimum(excess, np.maximum(b_length - a_length, 0))
    both = excess - a_levelled - b_levelled  # taken in turn, B first
    return a_levelled + both // 2, b_levelled + (both + 1) // 2
