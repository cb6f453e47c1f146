"""The instances of google-research/bert's create_pretraining_data.py, draw by draw.

The original draws everything from one `random.Random` of Python 3, so the order of the draws, and even those
without effect, are part of the procedure: same documents, vocabulary and seed, same instances.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.instances.options import StaticOptions
from bertkit.text.tokenizer import Tokenizer

_DRAWS_FOR_ANOTHER_DOCUMENT = 10


@dataclass(frozen=True, slots=True)
class StaticInstance:
    """One masked pair of n tokens."""

    input_ids: list[int]
    first_segment: int
    """Tokens of [CLS] A [SEP]; the others are of segment 1."""
    positions: list[int]
    """Places that were masked, ascending."""
    labels: list[int]
    """The ids that were there."""
    is_random: bool


@dataclass(frozen=True, slots=True)
class _Pair:
    """Token ranges of A and B, ends excluded."""

    a: tuple[int, int]
    b: tuple[int, int]
    is_random: bool


class StaticStream:
    """Cuts and masks all documents, `dupe_factor` times over, from one random stream."""

    def __init__(self, corpus: PreparedCorpus, tokenizer: Tokenizer, options: StaticOptions) -> None:
        self._corpus, self._options = corpus, options
        self._random = random.Random(options.random_seed)
        self._max_num_tokens = options.instances.max_num_tokens
        self._cls, self._sep, self._mask = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id
        self._continuation: list[bool] = tokenizer.continuation_mask().tolist()
        self._documents = list(range(corpus.num_documents))

    def documents(self) -> Iterator[list[StaticInstance]]:
        """Instances of one document after another, in the order in which they are made; iterate once, to the end."""
        self._random.shuffle(self._documents)
        for _ in range(self._options.dupe_factor):
            for place in range(len(self._documents)):
                yield [self._masked(pair) for pair in self._pairs(place)]

    def order(self, instances: int) -> NDArray[np.int64]:
        """Which of the instances comes first, second, ...: drawn when all have been made, as the original does."""
        numbers = array("q", range(instances))
        self._random.shuffle(numbers)
        return np.array(numbers)

    def _pairs(self, place: int) -> Iterator[_Pair]:
        """Cut the document at this place of the shuffled order; draws between two pairs happen between the yields."""
        draw = self._random
        target = self._max_num_tokens
        if draw.random() < self._options.short_seq_prob:
            target = draw.randint(2, target)
        first, stop = self._sentences(place)
        bounds: list[int] = self._corpus.sentence_tokens[first : stop + 1].tolist()
        sentences = stop - first
        begin = last = 0  # the sentences gathered so far: begin to last, last included
        while last < sentences:
            if last < sentences - 1 and bounds[last + 1] - bounds[begin] < target:
                last += 1
                continue
            gathered = last + 1 - begin
            middle = begin + (draw.randint(1, gathered - 1) if gathered >= 2 else 1)
            a = (bounds[begin], bounds[middle])
            is_random = gathered == 1 or draw.random() < 0.5
            if is_random:
                b = self._random_segment(place, target - (a[1] - a[0]))
                last = middle - 1  # the sentences behind A have not been used
            else:
                b = (bounds[middle], bounds[last + 1])
            yield _Pair(*self._truncated(a, b), is_random)
            begin = last = last + 1

    def _sentences(self, place: int) -> tuple[int, int]:
        document = self._documents[place]
        first, stop = self._corpus.document_sentences[document : document + 2].tolist()
        return first, stop

    def _random_segment(self, place: int, wanted: int) -> tuple[int, int]:
        """Draw whole sentences of another document: one at least, up to `wanted` tokens or the document's end."""
        for _ in range(_DRAWS_FOR_ANOTHER_DOCUMENT):
            other = self._random.randint(0, len(self._documents) - 1)
            if other != place:
                break
        first, stop = self._sentences(other)
        first += self._random.randint(0, stop - first - 1)
        bounds = self._corpus.sentence_tokens[first : stop + 1]
        sentences = min(max(1, int(np.searchsorted(bounds, bounds[0] + wanted))), stop - first)
        return int(bounds[0]), int(bounds[sentences])

    def _truncated(self, a: tuple[int, int], b: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Take tokens off the longer segment, off B where both are equal, at a random end each."""
        (a_start, a_stop), (b_start, b_stop) = a, b
        a_length, b_length = a_stop - a_start, b_stop - b_start
        while a_length + b_length > self._max_num_tokens:
            front = self._random.random() < 0.5
            if a_length > b_length:
                a_length -= 1
                a_start += front
            else:
                b_length -= 1
                b_start += front
        return (a_start, a_start + a_length), (b_start, b_start + b_length)

    def _masked(self, pair: _Pair) -> StaticInstance:
        draw, options = self._random, self._options
        a: list[int] = self._corpus.tokens(*pair.a).tolist()
        b: list[int] = self._corpus.tokens(*pair.b).tolist()
        input_ids = [self._cls, *a, self._sep, *b, self._sep]
        first_segment, end = len(a) + 2, len(input_ids) - 1
        candidates = [*range(1, first_segment - 1), *range(first_segment, end)]
        words = self._words(input_ids, candidates) if options.whole_word else [[place] for place in candidates]
        draw.shuffle(words)
        left = min(options.max_predictions_per_seq, max(1, round(len(input_ids) * options.masked_lm_prob)))
        labels: dict[int, int] = {}
        for word in words:
            if left == 0:
                break
            if len(word) > left:
                continue
            left -= len(word)
            for place in word:
                labels[place] = input_ids[place]
                if draw.random() < 0.8:
                    input_ids[place] = self._mask
                elif draw.random() >= 0.5:
                    input_ids[place] = draw.randint(0, len(self._continuation) - 1)
        positions = sorted(labels)
        return StaticInstance(
            input_ids, first_segment, positions, [labels[place] for place in positions], pair.is_random
        )

    def _words(self, input_ids: list[int], candidates: list[int]) -> list[list[int]]:
        """Places of each word. A '##' piece where B begins joins the last word of A, for the original skips [SEP]."""
        words: list[list[int]] = []
        for place in candidates:
            if words and self._continuation[input_ids[place]]:
                words[-1].append(place)
            else:
                words.append([place])
        return words
