"""The heads on an encoder's output; each is made of sizes and parts, and knows no encoder."""
# N rows, T tokens, M masked positions, B sequences, H hidden, E embedding, V vocabulary, C classes.

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertkit.model.dropout import Dropout
from bertkit.model.layers import PredictionTransform
from bertkit.model.layout import pad_rows


class MaskedLMHead(nn.Module):
    """A transform and a decoder tied to the word embeddings, with a bias for each entry of the vocabulary."""

    def __init__(self, transform: PredictionTransform, vocab_size: int) -> None:
        super().__init__()
        self.dense, self.activation, self.norm = transform.dense, transform.activation, transform.norm
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, masked_hidden: Tensor, word_embeddings: Tensor) -> Tensor:
        """Logits (M, V) of the masked positions' hidden states (M, H), with the embedding matrix (V, E)."""
        return F.linear(self.decoder_input(masked_hidden), word_embeddings, self.bias)[: len(masked_hidden)]

    def decoder_input(self, masked_hidden: Tensor) -> Tensor:
        """(M, H) to the (M, E) that the decoder reads, with rows of padding behind them."""
        return self.norm(self.activation(self.dense(pad_rows(masked_hidden))))  # type: ignore[no-any-return]


class NextSentenceHead(nn.Module):
    """Two-way linear on the pooled output: 0 says that B follows A, 1 that B is random."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, 2)

    def forward(self, pooler_output: Tensor) -> Tensor:
        """(B, H) to logits (B, 2)."""
        return self.dense(pooler_output)  # type: ignore[no-any-return]


class ClassificationHead(nn.Module):
    """Dropout and a linear layer on the pooled output; one output for regression and for every choice of several."""

    def __init__(self, hidden_size: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.dense = nn.Linear(hidden_size, num_labels)

    def forward(self, pooler_output: Tensor) -> Tensor:
        """(B, H) to logits (B, C)."""
        return self.dense(self.dropout(pooler_output))  # type: ignore[no-any-return]


class TokenClassificationHead(nn.Module):
    """A transform, dropout and a linear layer on every token."""

    def __init__(self, transform: nn.Module, hidden_size: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.transform = transform
        self.dropout = Dropout(dropout)
        self.dense = nn.Linear(hidden_size, num_labels)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states (T, H) to logits (T, C)."""
        return self.dense(self.dropout(self.transform(hidden)))  # type: ignore[no-any-return]


class SpanHead(nn.Module):
    """A transform and two scores for every token: that an answer starts there, and that it ends there."""

    def __init__(self, transform: nn.Module, hidden_size: int) -> None:
        super().__init__()
        self.transform = transform
        self.qa_outputs = nn.Linear(hidden_size, 2)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states (T, H) to logits (T, 2)."""
        return self.qa_outputs(self.transform(hidden))  # type: ignore[no-any-return]
