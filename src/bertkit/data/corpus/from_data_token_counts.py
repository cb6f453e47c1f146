"""How often each vocabulary entry stands in a corpus."""
# V vocabulary.

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bertkit.data.prepared_corpus import PreparedCorpus
from bertkit.data.token_blocks import token_blocks


def token_counts(corpus: PreparedCorpus, max_tokens: int = 1 << 27) -> NDArray[np.int64]:
    """Counts (V,) over this view's documents, or over blocks spread evenly through more than `max_tokens`."""
    counts = np.zeros(corpus.vocab_size, np.int64)
    for tokens in token_blocks(corpus, max_tokens):
        counts += np.bincount(tokens, minlength=corpus.vocab_size)
    return counts
