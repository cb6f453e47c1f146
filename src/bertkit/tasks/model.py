"""An encoder with a task's head."""
# S sequences, T tokens, R rows of output (S or T), C outputs.

from __future__ import annotations

from torch import Tensor, nn

from bertkit.foundation.packed_batch import PackedBatch
from bertkit.model.bert import BertModel, EncoderOutput


class TaskModel(nn.Module):
    """The head on the pooled output of [CLS], or on every token (Devlin et al. 2019, section 3.2)."""

    def __init__(self, bert: BertModel, head: nn.Module, *, reads_tokens: bool = False) -> None:
        super().__init__()
        self.bert = bert
        self.head = head
        self.reads_tokens = reads_tokens

    def forward(self, batch: PackedBatch) -> Tensor:
        """Logits (R, C)."""
        output = self.bert(batch, read=tokens_read(batch, reads_tokens=self.reads_tokens))
        return head_outputs(self.head, output, reads_tokens=self.reads_tokens)


def tokens_read(batch: PackedBatch, *, reads_tokens: bool) -> Tensor | None:
    """The tokens whose last hidden states a head reads: None for all, none where it reads the pooled output."""
    return None if reads_tokens else batch.cu_seqlens.new_empty(0)


def head_outputs(head: nn.Module, output: EncoderOutput, *, reads_tokens: bool) -> Tensor:
    """Logits (R, C) of a head on an encoder's output."""
    return head(output.last_hidden_state if reads_tokens else output.pooler_output)  # type: ignore[no-any-return]
