"""ModernBERT (Warner et al. 2024): rotary positions, windows of attention, GeGLU networks, norms in front."""
# T tokens, R rows that are wanted, H hidden, I intermediate, A heads, D head size.

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bertkit.core.batch import PackedBatch
from bertkit.model.architecture import RANDOM_SHARE, SLOWEST, Architecture, NeighbourStart, shift_of
from bertkit.model.attention import attention_probabilities, packed_attention
from bertkit.model.config import ModernBertConfig
from bertkit.model.dropout import Dropout
from bertkit.model.layers import Embeddings, PredictionTransform, ResidualLinear, activation
from bertkit.model.layout import SequenceLayout, pad_rows


class ModernEmbeddings(Embeddings):
    """Token embedding, LayerNorm, dropout; positions enter in attention."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)
        self.dropout = Dropout(config.embedding_dropout)

    def forward(self, batch: PackedBatch) -> Tensor:
        """Embed a batch as (T, H)."""
        return self.dropout(self.norm(self.word_embeddings(batch.input_ids)))  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Rotation:
    """Cosines and sines of every token's angles, each (T, 1, 1, D / 2) in float32."""

    cosines: Tensor
    sines: Tensor

    @classmethod
    def of(cls, position_ids: Tensor, head_size: int, theta: float) -> Rotation:
        """Angles of positions (T,), padded as rows are; dimension i turns by theta**(-2i / D) a token."""
        exponents = torch.arange(0, head_size, 2, dtype=torch.float32, device=position_ids.device) / head_size
        angles = pad_rows(position_ids.float()[:, None] * (1.0 / theta**exponents))[:, None, None]
        return cls(angles.cos(), angles.sin())

    def turn(self, query_key_value: Tensor) -> Tensor:
        """Turn queries and keys of (T, 3, A, D): dimension i goes with i + D / 2."""
        turned = _Turn.apply(query_key_value, self.cosines, self.sines)  # type: ignore[no-untyped-call]
        assert isinstance(turned, Tensor)
        return turned


class _Turn(torch.autograd.Function):
    """Forward and backward without the copies that cutting and joining would make."""

    @staticmethod
    def forward(ctx: Any, query_key_value: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        ctx.save_for_backward(cosines, sines)
        return _turned(query_key_value, cosines, sines)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_turned: Tensor) -> tuple[Tensor, None, None]:
        cosines, sines = ctx.saved_tensors
        return _turned(grad_turned, cosines, -sines), None, None


def _turned(query_key_value: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    result = torch.empty_like(query_key_value)
    given, made = query_key_value[:, :2], result[:, :2]
    exact = made if made.dtype in (torch.float32, torch.float64) else torch.empty_like(made, dtype=torch.float32)
    (first, second), (new_first, new_second) = given.chunk(2, -1), exact.chunk(2, -1)  # (T, 2, A, D / 2) each
    torch.mul(first, cosines, out=new_first).addcmul_(second, sines, value=-1)
    torch.mul(second, cosines, out=new_second).addcmul_(first, sines)
    if exact is not made:
        made.copy_(exact)
    result[:, 2].copy_(query_key_value[:, 2])
    return result


class RotaryLayout(SequenceLayout):
    """A layout with the rotations of layers that see the whole sequence and of those that see a window."""

    def __init__(self, batch: PackedBatch, config: ModernBertConfig) -> None:
        super().__init__(batch)
        self._everywhere = Rotation.of(batch.position_ids, config.head_size, config.global_rope_theta)
        self._nearby = Rotation.of(batch.position_ids, config.head_size, config.local_rope_theta)

    def rotation(self, window: int | None) -> Rotation:
        """That of a layer with this window."""
        return self._everywhere if window is None else self._nearby


class ModernAttention(nn.Module):
    """Multi-head self-attention to all tokens, or to `window` on each side, with turned queries and keys."""

    def __init__(self, config: ModernBertConfig, window: int | None) -> None:
        super().__init__()
        self.heads, self.window = config.num_attention_heads, window
        self.drop_rate = config.attention_probs_dropout_prob
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.output = ResidualLinear(config.hidden_size, config.hidden_size, 2 * config.num_hidden_layers)
        self.dropout = Dropout(config.attention_probs_dropout_prob)

    def forward(
        self, hidden: Tensor, layout: RotaryLayout, attentions: list[Tensor] | None, rows: Tensor | None
    ) -> Tensor:
        """(T, H) to (T, H); `attentions` and `rows` as in `BertAttention`."""
        tokens, width = hidden.shape
        projected = self.query_key_value(hidden).view(tokens, 3, self.heads, width // self.heads)  # (T, 3, A, D)
        turned = layout.rotation(self.window).turn(projected)
        if attentions is not None:
            attentions.append(attention_probabilities(turned, layout, self.window))
        drop_rate = self.drop_rate if self.training else 0.0
        context = packed_attention(turned, layout, drop_rate, self.window).view(tokens, width)
        return self.dropout(self.output(context if rows is None else pad_rows(context.index_select(0, rows))))  # type: ignore[no-any-return]


class ModernLayer(nn.Module):
    """Attention and a GeGLU network (Shazeer 2020), each behind its LayerNorm and added to what came in."""

    def __init__(self, config: ModernBertConfig, depth: int) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        # The embeddings come with their own LayerNorm.
        self.attention_norm = nn.LayerNorm(width, eps=eps, bias=False) if depth else nn.Identity()
        self.attention = ModernAttention(config, config.window(depth))
        self.intermediate_norm = nn.LayerNorm(width, eps=eps, bias=False)
        self.intermediate = nn.Linear(width, 2 * config.intermediate_size, bias=False)
        self.activation = activation(config.hidden_act)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.output = ResidualLinear(config.intermediate_size, width, 2 * config.num_hidden_layers)

    def forward(
        self,
        hidden: Tensor,
        layout: RotaryLayout,
        attentions: list[Tensor] | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """(T, H) to (T, H); `attentions` and `rows` as in `BertAttention`."""
        attended = self.attention(self.attention_norm(hidden), layout, attentions, rows)
        return self.transform(hidden if rows is None else pad_rows(hidden.index_select(0, rows)), attended)

    def transform(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """As `BertLayer.transform`."""
        hidden = hidden + attended
        expanded, gate = self.intermediate(self.intermediate_norm(hidden)).chunk(2, -1)  # (T, I) each
        return hidden + self.output(self.dropout(self.activation(expanded) * gate))  # type: ignore[no-any-return]


def _transform(config: ModernBertConfig) -> PredictionTransform:
    """Dense, the exact GELU even where the layers have the tanh form, and LayerNorm, without biases."""
    width = config.hidden_size
    return PredictionTransform(
        ResidualLinear(width, width, 2 * config.num_hidden_layers),
        activation("gelu"),
        nn.LayerNorm(width, eps=config.layer_norm_eps, bias=False),
    )


_CONSTANT_DIMENSIONS = 1
"""A first dimension in which all words have the same number, as there are no biases that could hold it."""
_CONSTANT_SHARE = 0.5
"""Its length beside the words'."""
_PEAK_SCORE = 16.0
"""Score of the token a head looks for, before softmax: that of the tokens beside it is about 2 less."""


def _start_with_neighbours(
    embeddings: ModernEmbeddings, first: ModernLayer, config: ModernBertConfig, _: float
) -> None:
    """Let queries and keys that are the same for all words be turned by their positions alone.

    A query that starts turned by a shift meets the key at that distance. The slowest dimensions would not tell
    neighbours apart.
    """
    words = embeddings.word_embeddings.weight
    words[:, 0] = _CONSTANT_SHARE * words[:, 1:].norm(dim=1).mean()
    # After LayerNorm a row has length sqrt(H), of which this is the constant's part.
    constant = math.sqrt(config.hidden_size) * _CONSTANT_SHARE / math.sqrt(1 + _CONSTANT_SHARE**2)

    heads, size = config.num_attention_heads, config.head_size
    half = size // 2
    frequencies = config.global_rope_theta ** (-torch.arange(half) / half)  # radians a token, the fastest first
    used = int((frequencies >= SLOWEST).sum())
    gain = math.sqrt(_PEAK_SCORE * math.sqrt(size) / used) / constant
    query, key, _ = first.attention.query_key_value.weight.view(3, heads, size, config.hidden_size)
    for head in range(heads):
        angles = frequencies[:used] * shift_of(head)
        for part in (query, key):
            part[head] *= RANDOM_SHARE
        query[head, :used, 0] += gain * torch.cos(angles)
        query[head, half : half + used, 0] += gain * torch.sin(angles)
        key[head, :used, 0] += gain


MODERNBERT = Architecture(
    config_type=ModernBertConfig,
    embeddings=ModernEmbeddings,
    layer=ModernLayer,
    final_norm=lambda config: nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False),
    layout=RotaryLayout,
    pooler=_transform,
    masked_lm_transform=_transform,
    token_transform=_transform,
    neighbour_start=NeighbourStart(dimensions=lambda _: _CONSTANT_DIMENSIONS, set_weights=_start_with_neighbours),
    feed_forward_matrices=3,  # the gate is the third
)
