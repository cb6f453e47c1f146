import itertools

import numpy as np
import pytest

from bertkit.core.randomness import derive_key, generator
from bertkit.data.instances.drawn import FullSentences
from bertkit.data.instances.options import MaskingOptions


def _epoch(source: FullSentences, epoch: int = 0, micro_batch_tokens: int = 10**6) -> list[list[int]]:
    """All sequences in their order, as they were before masking."""
    sequences = []
    for row in range(source.count(epoch)):
        rows = np.array([row])
        for batch in source.batches(epoch, rows, numbers=rows, micro_batch_tokens=micro_batch_tokens):
            ids = batch.inputs.input_ids.clone()
            assert len(batch.masked_positions) == max(1, round(0.15 * len(ids)))
            ids[batch.masked_positions] = batch.masked_labels
            sequences.append(ids.tolist())
    return sequences


def _filled(corpus, documents: list[int], seq_length: int) -> list[list[int]]:
    """The same by hand: sentence after sentence, cut where one is too long for a whole sequence."""
    cls, sep, most = corpus.tokenizer.cls_token_id, corpus.tokenizer.sep_token_id, seq_length - 2
    sequences: list[list[int]] = []
    current: list[int] = []
    for document in documents:
        sentences = range(corpus.document_sentences[document], corpus.document_sentences[document + 1])
        for number, sentence in enumerate(sentences):
            tokens = corpus.tokens(*corpus.sentence_tokens[sentence : sentence + 2]).tolist()
            for start in range(0, len(tokens), most):
                piece = tokens[start : start + most]
                separator = [sep] if current and number == 0 and start == 0 else []
                if len(current) + len(separator) + len(piece) > most:
                    sequences.append([cls, *current, sep])
                    current, separator = [], []
                current += separator + piece
    return [*sequences, [cls, *current, sep]]


@pytest.mark.parametrize("seq_length", [8, 13, 64, 2000])
def test_sequences_are_filled_across_documents(corpus, seq_length: int):
    source = FullSentences(corpus, seq_length, MaskingOptions(), seed=3)
    for epoch in (0, 1):
        order = generator(derive_key(3, "document order", epoch)).permutation(corpus.num_documents)
        assert _epoch(source, epoch) == _filled(corpus, order.tolist(), seq_length)


def test_a_view_of_some_documents_has_no_others(corpus):
    view, rest = corpus.split(0.4, seed=1)
    lengths = [len(sequence) for sequence in _epoch(FullSentences(view, 30, MaskingOptions(), seed=3))]
    assert max(lengths) <= 30
    assert sum(lengths) < corpus.num_tokens - rest.num_tokens + 3 * (len(lengths) + view.num_documents)


def test_a_batch_holds_its_rows_longest_first_with_masks_of_their_own(corpus):
    source = FullSentences(corpus, 40, MaskingOptions(), seed=3)
    rows, numbers = np.array([5, 2, 9, 0]), np.arange(4)
    batches = source.batches(0, rows, numbers=numbers, micro_batch_tokens=85)
    lengths = [length for batch in batches for length in np.diff(batch.inputs.cu_seqlens.numpy()).tolist()]
    assert lengths == sorted(lengths, reverse=True)
    assert all(batch.inputs.num_tokens <= 85 for batch in batches)
    assert all(not batch.inputs.token_type_ids.any() for batch in batches)
    whole = {tuple(sequence) for sequence in _epoch(source)}
    for batch in batches:
        ids = batch.inputs.input_ids.clone()
        ids[batch.masked_positions] = batch.masked_labels
        assert batch.next_sentence_labels is None
        for start, stop in itertools.pairwise(batch.inputs.cu_seqlens.tolist()):
            assert tuple(ids[start:stop].tolist()) in whole
