"""Where the sequences of an epoch are in the corpus, drawn from (seed, epoch): pairs and single segments.

All documents advance in lockstep: round k draws the k-th instance of every document that still has sentences, so
that a corpus takes as many NumPy steps as its longest document has instances.
"""
# I instances, D documents of the view, S sentences, n draws.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import run_positions
from bertkit.core.errors import InputError
from bertkit.core.randomness import derive_key, uniforms
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.instances.options import InstanceOptions
from bertkit.text.sequences import longest_first_by_token

_WORD_BITS = 53
"""Random bits of one uniform number."""


@dataclass(frozen=True)
class InstanceDraws:
    """Draws keyed by (seed, purpose, epoch, document, number of the instance in its document)."""

    seed: int
    epoch: int

    def uniform(
        self, purpose: str, documents: NDArray[np.int64], numbers: NDArray[np.int64] | int
    ) -> NDArray[np.float64]:
        """Uniform numbers in [0, 1), shape (n,)."""
        key = derive_key(self.seed, "instances", purpose, self.epoch)
        return uniforms(key, (documents << 32 | numbers).astype(np.uint64))

    def target_lengths(
        self, documents: NDArray[np.int64], max_num_tokens: int, short_seq_prob: float
    ) -> NDArray[np.int64]:
        """Length that a document's instances aim at: `max_num_tokens`, or randint(2, max_num_tokens) for some."""
        short = 2 + (self.uniform("short length", documents, 0) * (max_num_tokens - 1)).astype(np.int64)
        return np.where(self.uniform("short", documents, 0) < short_seq_prob, short, max_num_tokens)

    def binomial(self, purpose: str, trials: NDArray[np.int64]) -> NDArray[np.int64]:
        """Draws (n,) from Binomial(`trials`, 1/2): the one bits among as many random bits."""
        words = -(-trials // _WORD_BITS)
        owner = np.repeat(np.arange(len(trials)), words)
        rank = run_positions(0, words)
        width = np.minimum(trials[owner] - rank * _WORD_BITS, _WORD_BITS).astype(np.uint64)
        bits = (self.uniform(purpose, owner, rank) * 2.0**_WORD_BITS).astype(np.uint64)
        ones = np.bitwise_count(bits & ((np.uint64(1) << width) - np.uint64(1)))
        return np.bincount(owner, weights=ones, minlength=len(trials)).astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class InstancePlan:
    """Segments A and B of every instance as token ranges of the corpus, all arrays (I,).

    Consecutive sentences are consecutive in the shards, so a segment is one range. `b_length` is 0 where there is no
    second segment; `is_random` says that B comes from another document.
    """

    a_start: NDArray[np.int64]
    a_length: NDArray[np.int64]
    b_start: NDArray[np.int64]
    b_length: NDArray[np.int64]
    is_random: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.a_start)


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
    a_kept, b_kept = longest_first_by_token(a_length, b_length, max_num_tokens)
    # Each token is cut off the front or the end, by a fair coin.
    return InstancePlan(
        a_start=a_start + draws.binomial("front of a", a_length - a_kept),
        a_length=a_kept,
        b_start=b_start + draws.binomial("front of b", b_length - b_kept),
        b_length=b_kept,
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


def check_documents(corpus: PreparedCorpus, options: InstanceOptions) -> None:
    """Raise `InputError` where a corpus has too few documents."""
    if corpus.num_documents == 0:
        raise InputError(f"{corpus.folder} holds no documents: add text")
    if options.next_sentence and corpus.num_documents < 2:
        raise InputError(
            f"next-sentence prediction needs at least two documents and {corpus.folder} has one: "
            "put blank lines between documents, add documents, or use --no-nsp"
        )


def plan_epoch(corpus: PreparedCorpus, options: InstanceOptions, seed: int, epoch: int) -> InstancePlan:
    """Draw the instances of one epoch: a pure function of the corpus's sentence lengths and the arguments."""
    check_documents(corpus, options)
    plan = plan_pairs if options.next_sentence else plan_segments
    return plan(
        documents=corpus.documents,
        document_sentences=corpus.document_sentences,
        sentence_tokens=corpus.sentence_tokens,
        max_num_tokens=options.max_num_tokens,
        short_seq_prob=options.short_seq_prob,
        draws=InstanceDraws(seed, epoch),
    )
