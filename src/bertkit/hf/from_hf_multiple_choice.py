"""Choice among sequences with Transformers' interface."""
# B questions, C choices, S columns.

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bertkit.hf.bert_model import BertModel
from bertkit.hf.layers import classifier_dropout
from bertkit.hf.losses import cross_entropy
from bertkit.hf.output import LogitsOutput, ModelOutput
from bertkit.hf.padded_inputs import PaddedInputs
from bertkit.hf.pretrained import BertPreTrainedModel


class BertForMultipleChoice(BertPreTrainedModel):
    """Transformers' `BertForMultipleChoice`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = classifier_dropout(self.config)
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
        """From (B, C, S) to logits (B, C); with `labels` (B,) also the loss."""
        given = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        words = input_ids if inputs_embeds is None else inputs_embeds
        choices = 0 if words is None or words.ndim < 2 else words.shape[1]
        padded = PaddedInputs(*(None if tensor is None else tensor.flatten(0, 1) for tensor in given))
        encoded = self.bert.encode(padded, options, pooled_alone=True)
        logits = self.classifier(self.dropout(encoded.pooled)).view(-1, choices)
        loss = None if labels is None else cross_entropy(logits, labels)
        return self.bert.as_asked(LogitsOutput(loss=loss, logits=logits, **encoded.extras), options)
