"""Masked LM and next sentence (Devlin et al. 2019, section 3.1)."""
# M masked positions, B sequences, V vocabulary.

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn
from torch.nn import functional as F

from bertkit.data.pretraining_batch import PretrainingBatch
from bertkit.model.pretraining import PretrainingModel
from bertkit.training.flops import training_flops
from bertkit.training.halves import halves
from bertkit.training.objective import LossTerm

MASKED_LM, NEXT_SENTENCE = "masked_lm", "next_sentence"


class PretrainingObjective:
    """Mean cross-entropy over the predicted positions plus, where the model has the head, over the pairs.

    `next_sentence_weight` scales the second; the paper's is 1.
    """

    def __init__(self, module: PretrainingModel, next_sentence_weight: float = 1.0) -> None:
        self.module, self.next_sentence_weight = module, next_sentence_weight

    def counts(self, micro_batch: PretrainingBatch) -> Mapping[str, int]:
        """Predicted positions and pairs."""
        counts = {MASKED_LM: len(micro_batch.masked_labels)}
        if micro_batch.next_sentence_labels is not None:
            counts[NEXT_SENTENCE] = len(micro_batch.next_sentence_labels)
        return counts

    def tokens(self, micro_batch: PretrainingBatch) -> int:
        """T."""
        return micro_batch.inputs.num_tokens

    def flops(self, micro_batch: PretrainingBatch) -> float:
        """Operations of forward and backward."""
        bert, inputs, masked = self.module.bert, micro_batch.inputs, len(micro_batch.masked_labels)
        last_rows = masked if bert.pooler is None else masked + inputs.num_sequences
        return training_flops(bert.config, inputs.cu_seqlens, masked_positions=masked, last_rows=last_rows)

    def halves(self, micro_batch: PretrainingBatch) -> Sequence[PretrainingBatch]:
        """The first and the last half of the sequences."""
        return halves(micro_batch)

    def terms(self, micro_batch: PretrainingBatch, model: nn.Module) -> Mapping[str, LossTerm]:
        """Losses and right answers of one micro-batch, wherever it lies."""
        micro_batch = micro_batch.to(next(model.parameters()).device)
        total, correct, next_logits = model(micro_batch.inputs, micro_batch.masked_positions, micro_batch.masked_labels)
        terms = {MASKED_LM: LossTerm(total, correct)}
        if micro_batch.next_sentence_labels is not None:
            assert next_logits is not None
            labels = micro_batch.next_sentence_labels
            right = (next_logits.detach().argmax(-1) == labels).sum()
            total = F.cross_entropy(next_logits.float(), labels, reduction="sum")
            terms[NEXT_SENTENCE] = LossTerm(total, right, self.next_sentence_weight)
        return terms
