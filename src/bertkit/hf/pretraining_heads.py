"""Masked-LM with Transformers' interface."""
# B sequences, S columns, M labelled places, V vocabulary.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bertkit.hf.bert_model import BertModel, Encoded
from bertkit.hf.deferred_tensor import DeferredTensor
from bertkit.hf.losses import IGNORED, cross_entropy
from bertkit.hf.output import LogitsOutput, ModelOutput
from bertkit.hf.padded_inputs import PaddedInputs
from bertkit.hf.prediction_heads import BertLMPredictionHead, BertPreTrainingHeads
from bertkit.hf.pretrained import BertPreTrainedModel


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
        """Logits (B, S, V), 0 at padding; with `labels` (B, S) also the loss, and the logits when they are read."""
        padded = PaddedInputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.bert.encode(padded, options, read=None if labels is None else labels != IGNORED)
        loss, logits = masked_lm_loss(self.cls.predictions, encoded, labels)
        return self.bert.as_asked(LogitsOutput(loss=loss, logits=logits, **encoded.extras), options)


def masked_lm_loss(head: BertLMPredictionHead, encoded: Encoded, labels: Tensor | None) -> tuple[Tensor | None, Tensor]:
    """The mean cross-entropy over labelled places, where `labels` (B, S) are given, and the logits (B, S, V).

    The loss takes the logits of M places alone; all of them, most of the work of a small model, wait until they are
    read.
    """

    def all_logits() -> Tensor:
        return encoded.inputs.restore(head.logits(encoded.hidden))

    if labels is None:
        return None, all_logits()
    packed_labels = encoded.inputs.select(labels)
    places = (packed_labels != IGNORED).nonzero().squeeze(-1)
    logits = head.logits(encoded.hidden[places])  # (M, V)
    loss = cross_entropy(logits, packed_labels[places])
    if torch.compiler.is_compiling():
        return loss, all_logits()
    shape = (*encoded.inputs.shape, logits.shape[-1])
    return loss, DeferredTensor(all_logits, head.parameters(), shape, encoded.hidden)
