"""ModernBERT's block: pre-LayerNorm, rotary positions, gated feed-forward network, no biases."""
# T tokens, R rows that are read, H hidden, I intermediate, A heads, D head size.

from __future__ import annotations

from torch import Tensor, nn

from bertkit.model.attention import packed_attention
from bertkit.model.attention_probabilities import attention_probabilities
from bertkit.model.dropout import Dropout
from bertkit.model.encoder import activation
from bertkit.model.modern_config import ModernBertConfig
from bertkit.model.residual_linear import ResidualLinear
from bertkit.model.rotary_layout import RotaryLayout
from bertkit.model.row_padding import pad_rows


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
