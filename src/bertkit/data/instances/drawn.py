"""Instances that every epoch draws again from a prepared corpus: pairs, single segments, full sentences."""
# T tokens, B sequences, I instances, R ranges of tokens, P pieces (sentences, or parts of one that is too long).

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import run_bounds, run_positions, run_starts
from bertkit.core.errors import InputError
from bertkit.core.packing import token_budget_batches
from bertkit.core.randomness import derive_key, generator
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.instances.batches import MaskedSequences, PretrainingBatch
from bertkit.data.instances.masking import MaskingVocabulary, mask_tokens
from bertkit.data.instances.options import InstanceOptions, MaskingOptions
from bertkit.data.instances.sampling import InstancePlan, plan_epoch
from bertkit.text.sequences import SequenceLayout


class DrawnInstances:
    """Gathers the tokens of an epoch's instances, adds [CLS] and [SEP], and masks.

    Masks depend on (seed, purpose, epoch) and a sequence's number, not on the other sequences of its batch.
    """

    def __init__(
        self,
        corpus: PreparedCorpus,
        instances: InstanceOptions,
        masking: MaskingOptions,
        *,
        seed: int,
        purpose: str = "masking",
    ) -> None:
        tokenizer = corpus.tokenizer
        self._corpus, self._instances, self._masking = corpus, instances, masking
        self._seed, self._purpose = seed, purpose
        self._vocabulary = MaskingVocabulary.of(tokenizer)
        self._cls_token_id, self._sep_token_id = tokenizer.cls_token_id, tokenizer.sep_token_id
        self._plan = lru_cache(maxsize=1)(self._draw)

    def count(self, epoch: int) -> int:
        """How many instances the epoch drew."""
        return len(self._plan(epoch))

    def batches(
        self, epoch: int, rows: NDArray[np.int64], *, numbers: NDArray[np.int64], micro_batch_tokens: int
    ) -> list[PretrainingBatch]:
        """Turn instances `rows` (B,) of an epoch into micro-batches, longest sequences first."""
        plan, next_sentence = self._plan(epoch), self._instances.next_sentence
        added = self._instances.num_special_tokens
        groups = token_budget_batches(plan.a_length[rows] + plan.b_length[rows] + added, micro_batch_tokens)
        order = np.concatenate(groups)
        rows = rows[order]
        segments = [(plan.a_start[rows], plan.a_length[rows]), (plan.b_start[rows], plan.b_length[rows])]
        if not next_sentence:
            del segments[1]
        layout = SequenceLayout.of([length for _, length in segments])
        input_ids = layout.special_ids(self._cls_token_id, self._sep_token_id, np.int64)
        for number, (start, length) in enumerate(segments):
            self._corpus.copy_tokens(start, length, input_ids, layout.segment_starts[number :: len(segments)])
        masked = mask_tokens(
            input_ids,
            layout.lengths,
            layout.is_special(),
            numbers=numbers[order],
            key=derive_key(self._seed, self._purpose, epoch),
            options=self._masking,
            vocabulary=self._vocabulary,
        )
        sequences = MaskedSequences(
            input_ids=masked.input_ids,
            token_type_ids=layout.token_types(1, np.int64),
            lengths=layout.lengths,
            masked_positions=masked.positions,
            masked_labels=masked.labels,
            next_sentence_labels=plan.is_random[rows].astype(np.int64) if next_sentence else None,
        )
        return sequences.cut(len(group) for group in groups)

    def _draw(self, epoch: int) -> InstancePlan:
        return plan_epoch(self._corpus, self._instances, self._seed, epoch)


_SPECIAL = 2
"""[CLS] and the last [SEP]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Plan:
    """Token ranges of every instance, one for each of its documents.

    `first_range` (I+1,) says which are an instance's, `lengths` (I,) how long it is with its special tokens. A range
    (R,) has `length` tokens from `start` on in the corpus.
    """

    first_range: NDArray[np.int64]
    lengths: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]


class FullSentences:
    """Each epoch lays the documents end to end in a new order and cuts before the sentence that does not fit.

    A document that ends inside a sequence is followed by one more [SEP]. Masks depend on (seed, epoch) and a sequence's
    number.
    """

    def __init__(self, corpus: PreparedCorpus, seq_length: int, masking: MaskingOptions, *, seed: int) -> None:
        if corpus.num_documents == 0:
            raise InputError(f"{corpus.folder} holds no documents: add text")
        tokenizer = corpus.tokenizer
        self._corpus, self._seq_length, self._masking, self._seed = corpus, seq_length, masking, seed
        self._vocabulary = MaskingVocabulary.of(tokenizer)
        self._cls_token_id, self._sep_token_id = tokenizer.cls_token_id, tokenizer.sep_token_id
        self._plan = lru_cache(maxsize=1)(self._draw)

    def count(self, epoch: int) -> int:
        """How many instances the epoch has."""
        return len(self._plan(epoch).first_range) - 1

    def batches(
        self, epoch: int, rows: NDArray[np.int64], *, numbers: NDArray[np.int64], micro_batch_tokens: int
    ) -> list[PretrainingBatch]:
        """Turn instances `rows` (B,) of an epoch into micro-batches, longest sequences first."""
        plan = self._plan(epoch)
        groups = token_budget_batches(plan.lengths[rows], micro_batch_tokens)
        order = np.concatenate(groups)
        rows = rows[order]
        counts = plan.first_range[rows + 1] - plan.first_range[rows]
        ranges = run_positions(plan.first_range[rows], counts)
        layout = SequenceLayout(plan.length[ranges], counts)
        input_ids = layout.special_ids(self._cls_token_id, self._sep_token_id, np.int64)
        self._corpus.copy_tokens(plan.start[ranges], layout.segments, input_ids, layout.segment_starts)
        masked = mask_tokens(
            input_ids,
            layout.lengths,
            layout.is_special(),
            numbers=numbers[order],
            key=derive_key(self._seed, "masking", epoch),
            options=self._masking,
            vocabulary=self._vocabulary,
        )
        sequences = MaskedSequences(
            input_ids=masked.input_ids,
            token_type_ids=layout.token_types(0, np.int64),
            lengths=layout.lengths,
            masked_positions=masked.positions,
            masked_labels=masked.labels,
            next_sentence_labels=None,
        )
        return sequences.cut(len(group) for group in groups)

    def _draw(self, epoch: int) -> _Plan:
        corpus, most = self._corpus, self._seq_length - _SPECIAL
        order = generator(derive_key(self._seed, "document order", epoch)).permutation(corpus.num_documents)
        documents = corpus.documents[order]
        sentences = corpus.document_sentences[documents + 1] - corpus.document_sentences[documents]
        sentence = run_positions(corpus.document_sentences[documents], sentences)
        opens = np.zeros(len(sentence), bool)
        opens[run_starts(sentences)] = True

        tokens = corpus.sentence_tokens[sentence + 1] - corpus.sentence_tokens[sentence]
        parts = np.maximum(-(-tokens // most), 1)
        part = run_positions(0, parts)
        piece_start = np.repeat(corpus.sentence_tokens[sentence], parts) + part * most
        piece_length = np.minimum(np.repeat(tokens, parts) - part * most, most)
        separators = np.where(part == 0, np.repeat(opens, parts), False).astype(np.int64)  # before the piece

        first_piece = _cut(piece_length, separators, most)
        begins = separators.astype(bool)
        begins[first_piece] = True
        range_pieces = np.flatnonzero(begins)
        first_range = np.searchsorted(range_pieces, [*first_piece, len(begins)])
        length = np.add.reduceat(piece_length, range_pieces)
        layout = SequenceLayout(length, np.diff(first_range))
        return _Plan(first_range=first_range, lengths=layout.lengths, start=piece_start[range_pieces], length=length)


def _cut(lengths: NDArray[np.int64], separators: NDArray[np.int64], most: int) -> list[int]:
    """The first piece of every instance, which takes as many as fit into `most` tokens.

    A separator counts as a token unless its piece is the first.
    """
    ends = run_bounds(lengths + separators)
    following = np.searchsorted(ends, ends[:-1] + separators + most, side="right") - 1
    following = np.maximum(following, np.arange(1, len(lengths) + 1)).tolist()
    firsts, piece = [], 0
    while piece < len(following):
        firsts.append(piece)
        piece = following[piece]
    return firsts
