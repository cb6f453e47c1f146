"""The parts that architectures share: BERT's embeddings and layer, the pooler, the transform before a decoder."""
# T tokens, R rows that are wanted, N rows, B sequences, H hidden, E embedding, I intermediate, A heads, D head size.

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertkit.core.batch import PackedBatch
from bertkit.model.attention import attention_probabilities, packed_attention
from bertkit.model.config import BertConfig
from bertkit.model.dropout import Dropout
from bertkit.model.layout import SequenceLayout, pad_rows


def activation(name: str) -> nn.Module:
    """GELU in its exact or tanh form, by Hugging Face's name."""
    return nn.GELU(approximate="tanh" if name == "gelu_new" else "none")


class BertAttention(nn.Module):
    """Multi-head self-attention with one matrix for query, key and value."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads, self.drop_rate = config.num_attention_heads, config.attention_probs_dropout_prob
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        hidden: Tensor,
        layout: SequenceLayout,
        attentions: list[Tensor] | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """(T, H) to (T, H), or to those of `rows` (R,) padded; appends (B, A, S, S) to `attentions` if it is given."""
        tokens, width = hidden.shape
        projected = self.query_key_value(hidden).view(tokens, 3, self.heads, width // self.heads)  # (T, 3, A, D)
        if attentions is not None:
            attentions.append(attention_probabilities(projected, layout))
        drop_rate = self.drop_rate if self.training else 0.0
        context = packed_attention(projected, layout, drop_rate).view(tokens, width)
        return self.output(context if rows is None else pad_rows(context.index_select(0, rows)))  # type: ignore[no-any-return]


class BertLayer(nn.Module):
    """Attention and feed-forward network, each with dropout, residual and LayerNorm."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = BertAttention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.intermediate = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = activation(config.hidden_act)
        self.output = nn.Linear(config.intermediate_size, config.hidden_size)
        self.output_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        hidden: Tensor,
        layout: SequenceLayout,
        attentions: list[Tensor] | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """(T, H) to (T, H); `attentions` and `rows` as in `BertAttention`."""
        attended = self.attention(hidden, layout, attentions, rows)
        return self.transform(hidden if rows is None else pad_rows(hidden.index_select(0, rows)), attended)

    def transform(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """What came in and what attention gave, both (T, H), to (T, H): all that looks at one token alone."""
        hidden = self.attention_norm(hidden + self.dropout(attended))
        expanded = self.activation(self.intermediate(hidden))  # (T, I)
        return self.output_norm(hidden + self.dropout(self.output(expanded)))  # type: ignore[no-any-return]


class ResidualLinear(nn.Linear):
    """One of `additions` projections without bias that are added up; each starts that much smaller.

    With the deviation over the root of their number, the sum starts as large as one (Radford et al. 2019, section 2.3).
    """

    def __init__(self, in_features: int, out_features: int, additions: int) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.additions = additions


class Embeddings(nn.Module):
    """What the embeddings of every architecture have."""

    word_embeddings: nn.Embedding


class BertEmbeddings(Embeddings):
    """Sum of the three embeddings, LayerNorm, dropout."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.embedding_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.position_offset = config.position_offset
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width) if config.type_vocab_size else None
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, batch: PackedBatch, word_vectors: Tensor | None = None) -> Tensor:
        """Embed a batch as (T, E); `word_vectors` (T, E) stand in for those of its ids."""
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


class Pooler(nn.Module):
    """A dense layer and an activation on one row a sequence."""

    def __init__(self, hidden_size: int, activation: nn.Module) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.activation = activation

    def forward(self, rows: Tensor) -> Tensor:
        """(B, H) to (B, H)."""
        return self.activation(self.dense(rows))  # type: ignore[no-any-return]


class PredictionTransform(nn.Module):
    """A dense layer, an activation and a norm on every row."""

    def __init__(self, dense: nn.Linear, activation: nn.Module, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.dense = dense
        self.activation = activation
        self.norm = norm

    def forward(self, rows: Tensor) -> Tensor:
        """(N, H) to (N, E)."""
        return self.norm(self.activation(self.dense(rows)))  # type: ignore[no-any-return]
