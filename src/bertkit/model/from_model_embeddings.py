"""Token, segment and position embeddings (Devlin et al. 2019, figure 2)."""
# T tokens, H hidden.

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertkit.foundation.packed_batch import PackedBatch
from bertkit.model.config import BertConfig
from bertkit.model.dropout import Dropout


class BertEmbeddings(nn.Module):
    """Sum of the three embeddings, LayerNorm, dropout."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.position_offset = config.position_offset
        self.token_type_embeddings = (
            nn.Embedding(config.type_vocab_size, config.hidden_size) if config.type_vocab_size else None
        )
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, batch: PackedBatch, word_vectors: Tensor | None = None) -> Tensor:
        """Embed a batch as (T, H); `word_vectors` (T, H) stand in for those of its ids."""
        vectors = self.word_embeddings(batch.input_ids) if word_vectors is None else word_vectors
        dtype = vectors.dtype
        summed = vectors.float() if dtype in (torch.bfloat16, torch.float16) else vectors
        if self.token_type_embeddings is not None:
            summed = summed + self.token_type_embeddings(batch.token_type_ids)
        position_ids = batch.position_ids + self.position_offset if self.position_offset else batch.position_ids
        summed = summed + self.position_embeddings(position_ids)
        if summed.dtype == dtype:
            return self.dropout(self.norm(summed))  # type: ignore[no-any-return]
        # Every layer starts from what is rounded here; three sums and a norm in float32 cost nothing beside them.
        weight, bias = self.norm.weight.float(), self.norm.bias.float()
        normed = F.layer_norm(summed, self.norm.normalized_shape, weight, bias, self.norm.eps)
        return self.dropout(normed.to(dtype))  # type: ignore[no-any-return]
