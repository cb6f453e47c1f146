"""An encoder with a task's head."""
# B sequences, C outputs.

from __future__ import annotations

from torch import Tensor, nn

from bertkit.foundation.packed_batch import PackedBatch
from bertkit.model.bert import BertModel


class TaskModel(nn.Module):
    """The head on the pooled output of [CLS] (Devlin et al. 2019, section 3.2)."""

    def __init__(self, bert: BertModel, head: nn.Module) -> None:
        super().__init__()
        self.bert = bert
        self.head = head

    def forward(self, batch: PackedBatch) -> Tensor:
        """Logits (B, C)."""
        return self.head(self.bert(batch).pooler_output)  # type: ignore[no-any-return]
