"""Classification and regression of sequences with Transformers' interface."""
# B sequences, S columns, C outputs.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertkit.foundation.errors import InputError
from bertkit.hf.bert_model import BertModel
from bertkit.hf.layers import classifier_dropout
from bertkit.hf.losses import cross_entropy
from bertkit.hf.output import LogitsOutput, ModelOutput
from bertkit.hf.padded_inputs import PaddedInputs
from bertkit.hf.pretrained import BertPreTrainedModel


class BertForSequenceClassification(BertPreTrainedModel):
    """Transformers' `BertForSequenceClassification`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels: int = self.config.num_labels
        self.bert = BertModel(config)
        self.dropout = classifier_dropout(self.config)
        self.classifier = nn.Linear(self.architecture.hidden_size, self.num_labels)
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
        """Logits (B, C); with `labels` also the loss that `config.problem_type` names, or that the labels suggest."""
        padded = PaddedInputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.bert.encode(padded, options, pooled_alone=True)
        logits = self.classifier(self.dropout(encoded.pooled))
        loss = None if labels is None else self._loss(logits, labels)
        return self.bert.as_asked(LogitsOutput(loss=loss, logits=logits, **encoded.extras), options)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.config.problem_type is None:
            self.config.problem_type = self._suggested(labels)
        match self.config.problem_type:
            case "regression" if self.num_labels == 1:
                return F.mse_loss(logits.squeeze(), labels.squeeze())
            case "regression":
                return F.mse_loss(logits, labels)
            case "single_label_classification":
                return cross_entropy(logits, labels.view(-1))
            case "multi_label_classification":
                return F.binary_cross_entropy_with_logits(logits, labels)
        raise InputError(
            f"problem_type {self.config.problem_type!r} is unknown: use regression, single_label_classification or "
            "multi_label_classification"
        )

    def _suggested(self, labels: Tensor) -> str:
        if self.num_labels == 1:
            return "regression"
        return (
            "single_label_classification" if labels.dtype in (torch.long, torch.int) else "multi_label_classification"
        )
