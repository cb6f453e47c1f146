"""Classification of tokens with Transformers' interface."""
# B sequences, S columns, C classes.

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bertkit.hf.bert_model import BertModel
from bertkit.hf.layers import classifier_dropout
from bertkit.hf.losses import IGNORED, cross_entropy
from bertkit.hf.output import LogitsOutput, ModelOutput
from bertkit.hf.padded_inputs import PaddedInputs
from bertkit.hf.pretrained import BertPreTrainedModel


class BertForTokenClassification(BertPreTrainedModel):
    """Transformers' `BertForTokenClassification`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels: int = self.config.num_labels
        self.bert = BertModel(config, add_pooling_layer=False)
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
        """Logits (B, S, C), 0 at padding without a label; with `labels` (B, S) also the loss."""
        padded = PaddedInputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.bert.encode(padded, options, read=None if labels is None else labels != IGNORED)
        logits = self.classifier(self.dropout(encoded.hidden))
        loss = None if labels is None else cross_entropy(logits, encoded.inputs.select(labels))
        output = LogitsOutput(loss=loss, logits=encoded.inputs.restore(logits), **encoded.extras)
        return self.bert.as_asked(output, options)
