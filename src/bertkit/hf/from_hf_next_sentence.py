"""Next-sentence prediction with Transformers' interface."""
# B sequences, S columns.

from __future__ import annotations

from typing import Any

from torch import Tensor

from bertkit.hf.bert_model import BertModel
from bertkit.hf.losses import cross_entropy
from bertkit.hf.output import LogitsOutput, ModelOutput
from bertkit.hf.padded_inputs import PaddedInputs
from bertkit.hf.prediction_heads import BertPreTrainingHeads
from bertkit.hf.pretrained import BertPreTrainedModel


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
        """Logits (B, 2): 0 says that B follows A; with `labels` (B,) also the loss."""
        padded = PaddedInputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.bert.encode(padded, options, pooled_alone=True)
        logits = self.cls.seq_relationship(encoded.pooled)
        loss = None if labels is None else cross_entropy(logits, labels.view(-1))
        return self.bert.as_asked(LogitsOutput(loss=loss, logits=logits, **encoded.extras), options)
