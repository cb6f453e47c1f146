from pathlib import Path

import numpy as np
import pytest

from bertkit.data.corpus import prepared as token_blocks
from bertkit.data.corpus.prepared import PreparedCorpus, token_counts


def test_every_token_of_the_folder_is_counted(corpus: PreparedCorpus):
    counts = token_counts(corpus)
    ids = np.concatenate([np.load(path) for path in Path(corpus.folder).glob("*.tokens.npy")])
    np.testing.assert_array_equal(counts, np.bincount(ids, minlength=corpus.vocab_size))


def test_of_a_large_corpus_blocks_spread_evenly_are_counted(corpus: PreparedCorpus, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(token_blocks, "_BLOCK", 16)
    counts = token_counts(corpus, max_tokens=corpus.num_tokens // 3)
    assert 0.2 * corpus.num_tokens < counts.sum() <= corpus.num_tokens / 3 + 16
    np.testing.assert_array_equal(counts[corpus.tokens(0, 16)] > 0, True)


def test_held_out_documents_are_not_counted(corpus: PreparedCorpus):
    training, held_out = corpus.split(0.3, seed=0)
    assert token_counts(training).sum() == training.num_tokens
    np.testing.assert_array_equal(token_counts(training) + token_counts(held_out), token_counts(corpus))
