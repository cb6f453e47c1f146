"""The encoder with the two heads of pre-training."""
# M masked positions, B sequences, V vocabulary.

from __future__ import annotations

from torch import Tensor, nn

from bertkit.foundation.errors import InputError
from bertkit.foundation.packed_batch import PackedBatch
from bertkit.model.bert import BertModel
from bertkit.model.config import BertConfig
from bertkit.model.heads import MaskedLMHead, NextSentenceHead
from bertkit.model.masked_cross_entropy import masked_cross_entropy


class PretrainingModel(nn.Module):
    """Masked-LM head and, unless left out, next-sentence head over one encoder (Devlin et al. 2019, section 3.1)."""

    def __init__(self, config: BertConfig, *, next_sentence: bool = True) -> None:
        super().__init__()
        if next_sentence and not config.has_pooler:
            raise InputError(
                f"next-sentence prediction needs a pooler, which {config.model_type} has not: use --no-nsp"
            )
        self.bert = BertModel(config, add_pooling_layer=config.has_pooler)
        self.masked_lm = MaskedLMHead(config)
        self.next_sentence = NextSentenceHead(config) if next_sentence else None

    def forward(
        self, batch: PackedBatch, masked_positions: Tensor, masked_labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Cross-entropy summed over the masked positions, how many of them are right, and next-sentence logits (B, 2).

        `masked_positions` (M,) index the packed tokens, `masked_labels` (M,) stood there.
        """
        output, head = self.bert(batch, read=masked_positions), self.masked_lm
        hidden = head.decoder_input(output.last_hidden_state)
        matrix = self.bert.embeddings.word_embeddings.weight
        total, correct = masked_cross_entropy(hidden, matrix, head.bias, masked_labels)
        return total, correct, self.next_sentence(output.pooler_output) if self.next_sentence is not None else None
