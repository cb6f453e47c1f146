"""Instances of a prepared corpus as masked, packed batches."""
# T tokens, B sequences, M masked positions.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bertkit.data.instance_plan import InstancePlan
from bertkit.data.masking import MaskingOptions, MaskingVocabulary, mask_tokens
from bertkit.data.packing import token_budget_batches
from bertkit.data.prepared_corpus import PreparedCorpus
from bertkit.data.pretraining_batch import PretrainingBatch
from bertkit.foundation.packed_batch import PackedBatch


@dataclass(frozen=True, eq=False)
class Assembler:
    """Gathers the tokens of instances, adds [CLS] and [SEP], masks, and cuts into micro-batches."""

    corpus: PreparedCorpus
    masking: MaskingOptions
    vocabulary: MaskingVocabulary
    cls_token_id: int
    sep_token_id: int

    @classmethod
    def of(cls, corpus: PreparedCorpus, masking: MaskingOptions) -> Assembler:
        """Take the special tokens from the corpus' tokenizer."""
        tokenizer = corpus.tokenizer
        return cls(corpus, masking, MaskingVocabulary.of(tokenizer), tokenizer.cls_token_id, tokenizer.sep_token_id)

    def batches(
        self,
        plan: InstancePlan,
        rows: NDArray[np.int64],
        *,
        next_sentence: bool,
        numbers: NDArray[np.int64],
        key: int,
        micro_batch_tokens: int,
    ) -> list[PretrainingBatch]:
        """Turn rows (B,) of the plan into micro-batches, longest sequences first.

        `numbers` (B,) and `key` decide the masks. A sequence longer than `micro_batch_tokens` is alone in its batch.
        """
        a_length, b_length = plan.a_length[rows], plan.b_length[rows]
        groups = token_budget_batches(a_length + b_length + (3 if next_sentence else 2), micro_batch_tokens)
        order = np.concatenate(groups)
        rows, a_length, b_length = rows[order], a_length[order], b_length[order]

        lengths = a_length + b_length + (3 if next_sentence else 2)
        ends = np.cumsum(lengths)
        starts = ends - lengths
        input_ids = np.empty(ends[-1], np.int64)
        self.corpus.copy_tokens(plan.a_start[rows], a_length, input_ids, starts + 1)
        if next_sentence:
            self.corpus.copy_tokens(plan.b_start[rows], b_length, input_ids, starts + 2 + a_length)
        is_special = np.zeros(len(input_ids), bool)
        input_ids[starts] = self.cls_token_id
        input_ids[ends - 1] = input_ids[starts + 1 + a_length] = self.sep_token_id
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
            key=key,
            options=self.masking,
            vocabulary=self.vocabulary,
        )
        labels = plan.is_random[rows].astype(np.int64)

        batches = []
        stop = 0
        for group in groups:
            start, stop = stop, stop + len(group)
            tokens = slice(int(starts[start]), int(ends[stop - 1]))
            begin, end = np.searchsorted(masked.positions, [tokens.start, tokens.stop])
            batches.append(
                PretrainingBatch(
                    PackedBatch.from_arrays(masked.input_ids[tokens], token_type_ids[tokens], lengths[start:stop]),
                    torch.from_numpy(masked.positions[begin:end] - tokens.start),
                    torch.from_numpy(masked.labels[begin:end]),
                    torch.from_numpy(labels[start:stop]) if next_sentence else None,
                )
            )
        return batches
