"""One row for each sequence."""
# T tokens, B sequences, H hidden.

from __future__ import annotations

import torch
from torch import Tensor, nn

from bertkit.model.config import BertConfig


class Pooler(nn.Module):
    """tanh(dense(hidden state of [CLS])); DistilBERT's classifiers take a rectifier."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = nn.ReLU() if config.model_type == "distilbert" else nn.Tanh()

    def forward(self, first_tokens: Tensor) -> Tensor:
        """(B, H) to (B, H)."""
        return self.activation(self.dense(first_tokens))  # type: ignore[no-any-return]


def rows_to_pool(hidden: Tensor, cu_seqlens: Tensor, pooling: str) -> Tensor:
    """Hidden states of [CLS], or with `mean` the mean of every sequence's tokens: (T, H) to (B, H)."""
    if pooling == "cls":
        return hidden[cu_seqlens[:-1]]
    return torch.segment_reduce(hidden, "mean", lengths=cu_seqlens.diff().long(), unsafe=True)
