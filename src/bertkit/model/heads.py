"""What stands on an encoder; a head sees hidden states and knows no backbone."""
# T tokens, M masked positions, B sequences, H hidden, V vocabulary, C classes.

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertkit.model.config import BertConfig
from bertkit.model.dropout import Dropout
from bertkit.model.modern_config import ModernBertConfig
from bertkit.model.prediction_transform import PredictionTransform
from bertkit.model.row_padding import pad_rows


class MaskedLMHead(nn.Module):
    """Dense, GELU, LayerNorm and a decoder tied to the word embeddings, with a bias for each entry."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        transform = PredictionTransform(config)
        self.dense, self.activation, self.norm = transform.dense, transform.activation, transform.norm
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, masked_hidden: Tensor, word_embeddings: Tensor) -> Tensor:
        """Logits (M, V) of the masked positions' hidden states (M, H), with the embedding matrix (V, H)."""
        return F.linear(self.decoder_input(masked_hidden), word_embeddings, self.bias)[: len(masked_hidden)]

    def decoder_input(self, masked_hidden: Tensor) -> Tensor:
        """(M, H) to what the decoder reads, with rows of padding behind them."""
        return self.norm(self.activation(self.dense(pad_rows(masked_hidden))))  # type: ignore[no-any-return]


class NextSentenceHead(nn.Module):
    """Two-way linear on the pooled output: 0 says that B follows A, 1 that B is random."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, 2)

    def forward(self, pooler_output: Tensor) -> Tensor:
        """(B, H) to logits (B, 2)."""
        return self.dense(pooler_output)  # type: ignore[no-any-return]


class ClassificationHead(nn.Module):
    """Dropout and a linear layer on the pooled output; one output for regression."""

    def __init__(self, config: BertConfig, num_labels: int) -> None:
        super().__init__()
        self.dropout = Dropout(config.classifier_dropout)
        self.dense = nn.Linear(config.hidden_size, num_labels)

    def forward(self, pooler_output: Tensor) -> Tensor:
        """(B, H) to logits (B, C)."""
        return self.dense(self.dropout(pooler_output))  # type: ignore[no-any-return]


class TokenClassificationHead(nn.Module):
    """Dropout and a linear layer on every token, behind ModernBERT's transform."""

    def __init__(self, config: BertConfig, num_labels: int) -> None:
        super().__init__()
        self.transform = _transform(config)
        self.dropout = Dropout(config.classifier_dropout)
        self.dense = nn.Linear(config.hidden_size, num_labels)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states (T, H) to logits (T, C)."""
        return self.dense(self.dropout(self.transform(hidden)))  # type: ignore[no-any-return]


def _transform(config: BertConfig) -> nn.Module:
    return PredictionTransform(config) if isinstance(config, ModernBertConfig) else nn.Identity()


class SpanHead(nn.Module):
    """Two scores for every token: that an answer starts there, and that it ends there."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = _transform(config)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states (T, H) to logits (T, 2)."""
        return self.qa_outputs(self.transform(hidden))  # type: ignore[no-any-return]


class MultipleChoiceHead(nn.Module):
    """Dropout and one score for every choice, a choice being a sequence."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dropout = Dropout(config.classifier_dropout)
        self.dense = nn.Linear(config.hidden_size, 1)

    def forward(self, pooler_output: Tensor) -> Tensor:
        """(B, H) to logits (B, 1)."""
        return self.dense(self.dropout(pooler_output))  # type: ignore[no-any-return]
