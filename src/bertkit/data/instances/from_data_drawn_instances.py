"""Instances of a prepared corpus, drawn and masked anew in every epoch."""
# T tokens, B sequences.

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bertkit.data.instance_plan import InstancePlan
from bertkit.data.instances import InstanceOptions, plan_epoch
from bertkit.data.masked_sequences import MaskedSequences
from bertkit.data.masking import MaskingOptions, MaskingVocabulary, mask_tokens
from bertkit.data.packing import token_budget_batches
from bertkit.data.prepared_corpus import PreparedCorpus
from bertkit.data.pretraining_batch import PretrainingBatch
from bertkit.foundation.randomness import derive_key


class DrawnInstances:
    """Gathers the tokens of an epoch's instances, adds [CLS] and [SEP], and masks.

    Masks depend on (seed, purpose, epoch) and a sequence's number, not on the sequences beside it.
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
        a_length, b_length = plan.a_length[rows], plan.b_length[rows]

        lengths = a_length + b_length + added
        ends = np.cumsum(lengths)
        starts = ends - lengths
        input_ids = np.empty(ends[-1], np.int64)
        self._corpus.copy_tokens(plan.a_start[rows], a_length, input_ids, starts + 1)
        if next_sentence:
            self._corpus.copy_tokens(plan.b_start[rows], b_length, input_ids, starts + 2 + a_length)
        is_special = np.zeros(len(input_ids), bool)
        input_ids[starts] = self._cls_token_id
        input_ids[ends - 1] = input_ids[starts + 1 + a_length] = self._sep_token_id
        is_special[starts] = is_special[ends - 1] = is_special[starts + 1 + a_length] = True
        first_part = a_length + 2
        token_type_ids = np.repeat(
            np.tile(np.array([0, 1], np.int64), len(rows)), np.stack([first_part, lengths - first_part], 1).ravel()
        )
        masked = mask_tokens(
            input_ids,
            lengths,
            is_special,
            numbers=numbers[order],
            key=derive_key(self._seed, self._purpose, epoch),
            options=self._masking,
            vocabulary=self._vocabulary,
        )
        sequences = MaskedSequences(
            input_ids=masked.input_ids,
            token_type_ids=token_type_ids,
            lengths=lengths,
            masked_positions=masked.positions,
            masked_labels=masked.labels,
            next_sentence_labels=plan.is_random[rows].astype(np.int64) if next_sentence else None,
        )
        return sequences.cut(len(group) for group in groups)

    def _draw(self, epoch: int) -> InstancePlan:
        return plan_epoch(self._corpus, self._instances, self._seed, epoch)
