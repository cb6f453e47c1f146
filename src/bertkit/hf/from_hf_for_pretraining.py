"""Masked-LM and next-sentence prediction with Transformers' interface."""
# B sequences, S columns, V vocabulary.

from __future__ import annotations

from typing import Any

from torch import Tensor

from bertkit.hf.bert_model import BertModel
from bertkit.hf.losses import IGNORED, cross_entropy
from bertkit.hf.masked_lm import masked_lm_loss
from bertkit.hf.output import BertForPreTrainingOutput, ModelOutput
from bertkit.hf.padded_inputs import PaddedInputs
from bertkit.hf.prediction_heads import BertPreTrainingHeads
from bertkit.hf.pretrained import BertPreTrainedModel


class BertForPreTraining(BertPreTrainedModel):
    """Transformers' `BertForPreTraining`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertPreTrainingHeads(self.architecture)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
        **options: Any,
    ) -> ModelOutput | tuple[Any, ...]:
        """As `BertForMaskedLM`, and whether B follows A (B, 2); the loss is the sum, if both labels are given."""
        padded = PaddedInputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        wanted = labels if next_sentence_label is not None else None
        encoded = self.bert.encode(padded, options, read=None if wanted is None else wanted != IGNORED)
        loss, prediction_logits = masked_lm_loss(self.cls.predictions, encoded, wanted)
        order_logits = self.cls.seq_relationship(encoded.pooled)
        if loss is not None and next_sentence_label is not None:
            loss = loss + cross_entropy(order_logits, next_sentence_label.view(-1))
        output = BertForPreTrainingOutput(
            loss=loss, prediction_logits=prediction_logits, seq_relationship_logits=order_logits, **encoded.extras
        )
        return self.bert.as_asked(output, options)
