"""The token ids of a corpus, whatever its documents and sentences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bertkit.data.prepared_corpus import PreparedCorpus

_BLOCK = 1 << 21


def token_blocks(corpus: PreparedCorpus, max_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Blocks of the ids of this view's documents, in order; of more than `max_tokens`, blocks spread evenly."""
    bounds = corpus.sentence_tokens[corpus.document_sentences]
    # Documents that stand side by side are read together.
    gaps = np.flatnonzero(np.diff(corpus.documents) != 1) + 1
    starts, stops = bounds[corpus.documents], bounds[corpus.documents + 1]
    runs = zip(starts[np.concatenate(([0], gaps))], stops[np.concatenate((gaps, [len(stops)])) - 1], strict=True)
    ranges = [(start, min(start + _BLOCK, stop)) for first, stop in runs for start in range(first, stop, _BLOCK)]
    for start, stop in ranges[:: max(1, -(-corpus.num_tokens // max_tokens))]:
        yield corpus.tokens(int(start), int(stop)).astype(np.int64)
