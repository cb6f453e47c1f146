"""A vocabulary of numbers and documents made of it."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"{'##' * (i % 3 == 0)}{i}" for i in range(5, 12_000))]
TOKENIZER = SimpleNamespace(
    cls_token_id=2,
    sep_token_id=3,
    mask_token_id=4,
    continuation_mask=lambda: np.array([token.startswith("##") for token in VOCABULARY]),
)


def documents_of(corpus, vocabulary):
    words = [vocabulary[i] for i in corpus.tokens(0, corpus.num_tokens)]
    sentences = [words[start:stop] for start, stop in pairwise(corpus.sentence_tokens.tolist())]
    return [sentences[start:stop] for start, stop in pairwise(corpus.document_sentences.tolist())]
