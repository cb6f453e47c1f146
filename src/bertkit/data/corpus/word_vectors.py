"""- word vectors from co-occurrence."""
# V vocabulary, C contexts, K dimensions.
# V vocabulary, n tokens, w words.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from bertkit.data.corpus.prepared import PreparedCorpus, token_blocks
from bertkit.text.tokenizer import Tokenizer

_WINDOW = 4
_CONTEXTS = 4096
"""The most frequent entries count as contexts."""
_CONTEXT_POWER = 0.75
"""Levy et al. 2015, section 3.1: smoothed, rare contexts weigh less."""


def word_vectors(
    corpus: PreparedCorpus, counts: NDArray[np.int64], dimensions: int, *, seed: int, max_tokens: int = 1 << 26
) -> NDArray[np.float32]:
    """Vectors (V, K) of length 1 around 0, in which entries that are used alike lie near each other.

    The positive pointwise mutual information of entries and contexts up to 4 tokens away, factorised (Levy, Goldberg
    and Dagan 2015). `counts` (V,) are the entries' own; of a larger corpus, blocks spread evenly through it are read.
    An entry that was not seen has the zero vector.
    """
    information = _mutual_information(_pairs(corpus, counts, max_tokens))
    dimensions = min(dimensions, *information.shape)
    left, strengths, _ = randomized_svd(information, dimensions, n_iter=4, random_state=seed)
    vectors = left * np.sqrt(strengths)
    seen = information.any(axis=1)
    vectors[seen] -= vectors[seen].mean(axis=0)
    vectors[~seen] = 0
    # Turned at random, so that no dimension matters more than others.
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(dimensions, dimensions)))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors @ turn / np.maximum(lengths, 1e-12), np.float32)


def _pairs(corpus: PreparedCorpus, counts: NDArray[np.int64], max_tokens: int) -> NDArray[np.float32]:
    """How often each entry stands near each context (V, C), a neighbour at distance d counting 1/d."""
    contexts = np.argsort(-counts, kind="stable")[:_CONTEXTS]
    place = np.full(corpus.vocab_size, -1)
    place[contexts] = np.arange(len(contexts))
    pairs = np.zeros(corpus.vocab_size * len(contexts), np.float32)
    for tokens in token_blocks(corpus, max_tokens):
        for distance in range(1, _WINDOW + 1):
            first, second = tokens[:-distance], tokens[distance:]
            for entry, context in ((first, place[second]), (second, place[first])):
                known = context >= 0
                np.add.at(pairs, entry[known] * len(contexts) + context[known], np.float32(1 / distance))
    return pairs.reshape(corpus.vocab_size, len(contexts))


def _mutual_information(pairs: NDArray[np.float32]) -> NDArray[np.float32]:
    """The positive part of log p(entry, context) / (p(entry) p(context)), in place."""
    entries, contexts = pairs.sum(axis=1, keepdims=True), pairs.sum(axis=0, keepdims=True) ** _CONTEXT_POWER
    contexts /= contexts.sum()
    pairs /= np.maximum(entries, 1e-12)
    pairs /= np.maximum(contexts, 1e-12)
    return np.log(np.maximum(pairs, 1, out=pairs), out=pairs)


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
