"""Word vectors from which entries occur near each other in a corpus."""
# V vocabulary, C contexts, K dimensions.

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bertkit.data.corpus.prepared import PreparedCorpus, token_blocks

_WINDOW = 4
_CONTEXTS = 4096
"""The most frequent entries count as contexts."""
_CONTEXT_POWER = 0.75
"""Levy et al. 2015, section 3.1: smoothed, rare contexts weigh less."""


def word_vectors(
    corpus: PreparedCorpus, counts: NDArray[np.int64], dimensions: int, *, seed: int, max_tokens: int = 1 << 26
) -> NDArray[np.float32]:
    """Vectors (V, K) of length 1 around 0; entries that are used alike are near each other.

    The positive pointwise mutual information of entries and contexts up to 4 tokens away, factorised (Levy, Goldberg
    and Dagan 2015). `counts` (V,) are the entries' own; of a larger corpus, blocks spread evenly through it are read.
    An entry that was not seen has the zero vector.
    """
    from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415  # a second that one option needs

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
    """How often each entry occurs near each context (V, C); a neighbour at distance d counts 1/d."""
    contexts = np.argsort(-counts, kind="stable")[:_CONTEXTS]
    column = np.full(corpus.vocab_size, -1)
    column[contexts] = np.arange(len(contexts))
    pairs = np.zeros(corpus.vocab_size * len(contexts), np.float32)
    for tokens in token_blocks(corpus, max_tokens):
        for distance in range(1, _WINDOW + 1):
            first, second = tokens[:-distance], tokens[distance:]
            for entry, context in ((first, column[second]), (second, column[first])):
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
