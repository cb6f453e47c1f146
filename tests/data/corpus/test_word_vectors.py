import numpy as np
import pytest

from bertkit.data.corpus import prepared as token_blocks
from bertkit.data.corpus import word_vectors as vectors_module
from bertkit.data.corpus.manifest import Manifest
from bertkit.data.corpus.prepared import PreparedCorpus, token_counts
from bertkit.data.corpus.shards import write_shard
from bertkit.data.corpus.word_vectors import word_vectors


@pytest.fixture
def two_topics(tmp_path) -> PreparedCorpus:
    """Documents that draw their tokens from 0 to 19 or from 20 to 39; 40 is never used."""
    draw = np.random.default_rng(0)
    ids = np.concatenate([draw.integers(0, 20, 50) + 20 * (number % 2) for number in range(200)]).astype(np.uint16)
    record = write_shard(tmp_path, "shard-00000", ids, np.full(400, 25), np.full(200, 2))
    Manifest(vocab_size=41, tokenizer_fingerprint="", options={}, sources=[], shards=[record]).write(tmp_path)
    return PreparedCorpus.open(tmp_path)


def vectors_of(corpus: PreparedCorpus, dimensions: int = 8, **options) -> np.ndarray:
    return word_vectors(corpus, token_counts(corpus), dimensions, seed=0, **options)


def test_words_of_like_company_lie_near_each_other(two_topics: PreparedCorpus):
    vectors = vectors_of(two_topics)
    likeness = vectors[:40] @ vectors[:40].T
    same = np.kron(np.eye(2, dtype=bool), np.ones((20, 20), bool)) & ~np.eye(40, dtype=bool)
    other = np.kron(1 - np.eye(2), np.ones((20, 20))).astype(bool)
    assert likeness[same].mean() > likeness[other].mean() + 0.5
    np.testing.assert_allclose(np.linalg.norm(vectors[:40], axis=1), 1, rtol=1e-5)


def test_an_entry_that_was_not_seen_has_the_zero_vector_and_a_seed_the_same_vectors(two_topics: PreparedCorpus):
    vectors = vectors_of(two_topics)
    assert not vectors[40].any()
    np.testing.assert_array_equal(vectors, vectors_of(two_topics))


def test_pairs_are_counted_by_distance_whatever_the_blocks(two_topics: PreparedCorpus, monkeypatch):
    training, _ = two_topics.split(0.2, seed=0)
    counts = token_counts(training)
    pairs = vectors_module._pairs(training, counts, 1 << 20)
    contexts = np.argsort(-counts, kind="stable")
    expected = np.zeros((41, 41))
    for tokens in token_blocks.token_blocks(training, 1 << 20):
        for first in range(len(tokens)):
            for distance in range(1, 5):
                if first + distance < len(tokens):
                    expected[tokens[first], tokens[first + distance]] += 1 / distance
                    expected[tokens[first + distance], tokens[first]] += 1 / distance
    np.testing.assert_allclose(pairs, expected[:, contexts], rtol=1e-4)


def test_more_dimensions_than_the_corpus_has_are_cut(two_topics: PreparedCorpus):
    assert vectors_of(two_topics, dimensions=100).shape == (41, 41)
