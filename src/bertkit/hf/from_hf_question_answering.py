"""Extraction of spans with Transformers' interface."""
# B sequences, S columns.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bertkit.hf.bert_model import BertModel
from bertkit.hf.losses import cross_entropy
from bertkit.hf.output import ModelOutput, QuestionAnsweringModelOutput
from bertkit.hf.padded_inputs import PaddedInputs
from bertkit.hf.pretrained import BertPreTrainedModel


class BertForQuestionAnswering(BertPreTrainedModel):
    """Transformers' `BertForQuestionAnswering`.

    Its loss is a softmax over all columns, padding too, so padding is computed here as well.
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
        """Scores (B, S) of each column as start and as end; with both positions (B,) also the loss."""
        padded = PaddedInputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        everywhere = torch.ones(padded.shape, dtype=torch.bool, device=padded.words.device)
        encoded = self.bert.encode(padded, options, read=everywhere)
        logits = encoded.inputs.restore(self.qa_outputs(encoded.hidden))
        start_logits, end_logits = (part.contiguous() for part in logits.unbind(-1))
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (_loss(start_logits, start_positions) + _loss(end_logits, end_positions)) / 2
        output = QuestionAnsweringModelOutput(
            loss=loss, start_logits=start_logits, end_logits=end_logits, **encoded.extras
        )
        return self.bert.as_asked(output, options)


def _loss(logits: Tensor, positions: Tensor) -> Tensor:
    """Positions behind the last column, answers that were cut off, are not counted."""
    columns = logits.shape[1]
    return cross_entropy(logits, positions.view(-1).clamp(0, columns), columns)
