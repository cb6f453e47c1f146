"""The encoder."""
# T tokens, B sequences, H hidden.

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bertkit.foundation.packed_batch import PackedBatch
from bertkit.model.config import BertConfig
from bertkit.model.embeddings import BertEmbeddings
from bertkit.model.encoder import BertLayer
from bertkit.model.row_padding import pad_rows
from bertkit.model.sequence_layout import SequenceLayout


@dataclass(frozen=True)
class EncoderOutput:
    """`last_hidden_state` (T, H), `pooler_output` (B, H) and, where asked for, all layers from the embeddings on."""

    last_hidden_state: Tensor
    pooler_output: Tensor
    hidden_states: tuple[Tensor, ...] | None = None


class Pooler(nn.Module):
    """tanh(dense(hidden state of [CLS]))."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, first_tokens: Tensor) -> Tensor:
        """(B, H) to (B, H)."""
        return torch.tanh(self.dense(first_tokens))


class BertModel(nn.Module):
    """Embeddings, encoder and pooler over packed batches (Devlin et al. 2019, section 3)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = BertEmbeddings(config)
        self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))
        self.pooler = Pooler(config)

    def forward(self, batch: PackedBatch, *, output_hidden_states: bool = False) -> EncoderOutput:
        """Encode a batch whose longest sequence fits `max_position_embeddings`."""
        hidden = pad_rows(self.embeddings(batch))
        layout = SequenceLayout(batch)
        kept = [hidden[: batch.num_tokens]]
        for layer in self.layers:
            hidden = layer(hidden, layout)
            if output_hidden_states:
                kept.append(hidden[: batch.num_tokens])
        hidden = hidden[: batch.num_tokens]
        pooled = self.pooler(hidden[batch.cu_seqlens[:-1]])
        return EncoderOutput(hidden, pooled, tuple(kept) if output_hidden_states else None)
