"""ModernBERT's embeddings, of tokens alone."""
# T tokens, H hidden.

from __future__ import annotations

from torch import Tensor, nn

from bertkit.foundation.packed_batch import PackedBatch
from bertkit.model.dropout import Dropout
from bertkit.model.modern_config import ModernBertConfig


class ModernEmbeddings(nn.Module):
    """Token embedding, LayerNorm, dropout; positions enter in attention."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)
        self.dropout = Dropout(config.embedding_dropout)

    def forward(self, batch: PackedBatch) -> Tensor:
        """Embed a batch as (T, H)."""
        return self.dropout(self.norm(self.word_embeddings(batch.input_ids)))  # type: ignore[no-any-return]
