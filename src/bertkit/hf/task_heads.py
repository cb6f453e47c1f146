"""Sequence and token classification, question answering and multiple choice, with Transformers' interface."""
# B sequences or questions, S columns, C classes, outputs or choices.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertkit.core.errors import InputError
from bertkit.hf.batches import PaddedInputs
from bertkit.hf.bert_model import BertModel
from bertkit.hf.outputs import LogitsOutput, ModelOutput, QuestionAnsweringModelOutput
from bertkit.hf.pretrained import BertPreTrainedModel
from bertkit.model.dropout import Dropout

IGNORED = -100
"""The label of positions that do not count in a loss."""


def cross_entropy(logits: Tensor, labels: Tensor, ignored: int = IGNORED) -> Tensor:
    """Mean over the labels (N,) that are not `ignored`, for logits (N, C); in their type, or float32 under autocast."""
    loss = F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels, ignore_index=ignored)
    return loss if torch.is_autocast_enabled(logits.device.type) else loss.to(logits.dtype)


class BertForMultipleChoice(BertPreTrainedModel):
    """Transformers' `BertForMultipleChoice`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = _classifier_dropout(self.config)
        self.classifier = nn.Linear(self.architecture.hidden_size, 1)
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
        """From inputs (B, C, S) to logits (B, C); with `labels` (B,) also the loss."""
        given = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        words = input_ids if inputs_embeds is None else inputs_embeds
        choices = 0 if words is None or words.ndim < 2 else words.shape[1]
        padded = PaddedInputs(*(None if tensor is None else tensor.flatten(0, 1) for tensor in given))
        encoded = self.bert.encode(padded, options, pooled_alone=True)
        logits = self.classifier(self.dropout(encoded.pooled)).view(-1, choices)
        loss = None if labels is None else cross_entropy(logits, labels)
        return self.bert.return_output(LogitsOutput(loss=loss, logits=logits, **encoded.extras), options)


class BertForQuestionAnswering(BertPreTrainedModel):
    """Transformers' `BertForQuestionAnswering`.

    Its loss is a softmax over all columns, so the padding is computed too.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels: int = self.config.num_labels
        self.bert = BertModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(self.architecture.hidden_size, 2)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        **options: Any,
    ) -> ModelOutput | tuple[Any, ...]:
        """Logits (B, S) of each column as start and as end of the answer; with both positions (B,) also the loss."""
        padded = PaddedInputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        all_columns = torch.ones(padded.shape, dtype=torch.bool, device=padded.words.device)
        encoded = self.bert.encode(padded, options, output_positions=all_columns)
        logits = encoded.inputs.restore(self.qa_outputs(encoded.hidden))
        start_logits, end_logits = (part.contiguous() for part in logits.unbind(-1))
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (_position_loss(start_logits, start_positions) + _position_loss(end_logits, end_positions)) / 2
        output = QuestionAnsweringModelOutput(
            loss=loss, start_logits=start_logits, end_logits=end_logits, **encoded.extras
        )
        return self.bert.return_output(output, options)


def _position_loss(logits: Tensor, positions: Tensor) -> Tensor:
    """Cross-entropy; positions after the last column, of answers that were truncated, are ignored."""
    columns = logits.shape[1]
    return cross_entropy(logits, positions.view(-1).clamp(0, columns), columns)


class BertForSequenceClassification(BertPreTrainedModel):
    """Transformers' `BertForSequenceClassification`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels: int = self.config.num_labels
        self.bert = BertModel(config)
        self.dropout = _classifier_dropout(self.config)
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
        """Logits (B, C); with `labels` also the loss of `config.problem_type`, which the labels decide if None."""
        padded = PaddedInputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.bert.encode(padded, options, pooled_alone=True)
        logits = self.classifier(self.dropout(encoded.pooled))
        loss = None if labels is None else self._loss(logits, labels)
        return self.bert.return_output(LogitsOutput(loss=loss, logits=logits, **encoded.extras), options)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.config.problem_type is None:
            self.config.problem_type = self._suggested_problem_type(labels)
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

    def _suggested_problem_type(self, labels: Tensor) -> str:
        if self.num_labels == 1:
            return "regression"
        return (
            "single_label_classification" if labels.dtype in (torch.long, torch.int) else "multi_label_classification"
        )


class BertForTokenClassification(BertPreTrainedModel):
    """Transformers' `BertForTokenClassification`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels: int = self.config.num_labels
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = _classifier_dropout(self.config)
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
        """Logits (B, S, C), 0 at padding that has no label; with `labels` (B, S) also the loss."""
        padded = PaddedInputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.bert.encode(padded, options, output_positions=None if labels is None else labels != IGNORED)
        logits = self.classifier(self.dropout(encoded.hidden))
        loss = None if labels is None else cross_entropy(logits, encoded.inputs.select(labels))
        output = LogitsOutput(loss=loss, logits=encoded.inputs.restore(logits), **encoded.extras)
        return self.bert.return_output(output, options)


def _classifier_dropout(config: Any) -> Dropout:
    """Dropout before a classifier, at the rate `classifier_dropout` if the configuration has one."""
    rate = getattr(config, "classifier_dropout", None)
    return Dropout(config.hidden_dropout_prob if rate is None else rate)
