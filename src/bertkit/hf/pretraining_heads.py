"""Masked LM, next-sentence prediction and both, with Transformers' interface."""
# B sequences, S columns, M labelled positions, V vocabulary.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bertkit.hf.batches import PaddedInputs
from bertkit.hf.bert_model import BertModel, Encoded
from bertkit.hf.layers import BertLMPredictionHead, BertPreTrainingHeads
from bertkit.hf.outputs import BertForPreTrainingOutput, DeferredTensor, LogitsOutput, ModelOutput
from bertkit.hf.pretrained import BertPreTrainedModel
from bertkit.hf.task_heads import IGNORED, cross_entropy


class BertForMaskedLM(BertPreTrainedModel):
    """Transformers' `BertForMaskedLM`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = BertPreTrainingHeads(self.architecture, next_sentence=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **options: Any,
    ) -> ModelOutput | tuple[Any, ...]:
        """Logits (B, S, V), 0 at padding; with `labels` (B, S) also the loss, and logits computed when read."""
        padded = PaddedInputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.bert.encode(padded, options, output_positions=None if labels is None else labels != IGNORED)
        loss, logits = _masked_lm_loss(self.cls.predictions, encoded, labels)
        return self.bert.return_output(LogitsOutput(loss=loss, logits=logits, **encoded.extras), options)


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
        """As `BertForMaskedLM`, and logits (B, 2) of whether B follows A; with both labels also the summed loss."""
        padded = PaddedInputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        wanted = labels if next_sentence_label is not None else None
        encoded = self.bert.encode(padded, options, output_positions=None if wanted is None else wanted != IGNORED)
        loss, prediction_logits = _masked_lm_loss(self.cls.predictions, encoded, wanted)
        order_logits = self.cls.seq_relationship(encoded.pooled)
        if loss is not None and next_sentence_label is not None:
            loss = loss + cross_entropy(order_logits, next_sentence_label.view(-1))
        output = BertForPreTrainingOutput(
            loss=loss, prediction_logits=prediction_logits, seq_relationship_logits=order_logits, **encoded.extras
        )
        return self.bert.return_output(output, options)


class BertForNextSentencePrediction(BertPreTrainedModel):
    """Transformers' `BertForNextSentencePrediction`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertPreTrainingHeads(self.architecture, masked_lm=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **options: Any,
    ) -> ModelOutput | tuple[Any, ...]:
        """Logits (B, 2), class 0 if B follows A; with `labels` (B,) also the loss."""
        padded = PaddedInputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.bert.encode(padded, options, pooled_alone=True)
        logits = self.cls.seq_relationship(encoded.pooled)
        loss = None if labels is None else cross_entropy(logits, labels.view(-1))
        return self.bert.return_output(LogitsOutput(loss=loss, logits=logits, **encoded.extras), options)


def _masked_lm_loss(
    head: BertLMPredictionHead, encoded: Encoded, labels: Tensor | None
) -> tuple[Tensor | None, Tensor]:
    """The mean cross-entropy over labelled positions, if `labels` (B, S) are given, and the logits (B, S, V).

    The loss needs the logits of M positions only. The others, most of the work of a small model, are not computed until
    they are read.
    """

    def all_logits() -> Tensor:
        return encoded.inputs.restore(head.logits(encoded.hidden))

    if labels is None:
        return None, all_logits()
    packed_labels = encoded.inputs.select(labels)
    positions = (packed_labels != IGNORED).nonzero().squeeze(-1)
    logits = head.logits(encoded.hidden[positions])  # (M, V)
    loss = cross_entropy(logits, packed_labels[positions])
    if torch.compiler.is_compiling():
        return loss, all_logits()
    shape = (*encoded.inputs.shape, logits.shape[-1])
    return loss, DeferredTensor(all_logits, head.parameters(), shape, encoded.hidden)
