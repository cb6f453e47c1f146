"""- all heads, pooler, transform."""
# N rows, H hidden.
# T tokens, M masked positions, B sequences, H hidden, V vocabulary, C classes.
# T tokens, B sequences, H hidden.

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertkit.model.config import BertConfig, ModernBertConfig
from bertkit.model.dropout import Dropout
from bertkit.model.layers import ResidualLinear, activation
from bertkit.model.layout import pad_rows


class PredictionTransform(nn.Module):
    """Dense, GELU and LayerNorm on tokens or on one row a sequence; without biases in ModernBERT."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        modern, width = isinstance(config, ModernBertConfig), config.hidden_size
        self.dense = ResidualLinear(width, width, 2 * config.num_hidden_layers) if modern else nn.Linear(width, width)
        # RoBERTa and ModernBERT have the exact GELU here, whatever their layers have.
        self.activation = activation("gelu" if modern or config.model_type == "roberta" else config.hidden_act)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps, bias=not modern)

    def forward(self, rows: Tensor) -> Tensor:
        """(N, H) to (N, H)."""
        return self.norm(self.activation(self.dense(rows)))  # type: ignore[no-any-return]


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
