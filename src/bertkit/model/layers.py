"""The post-LayerNorm Transformer block (Vaswani et al. 2017, section 3.1; Devlin et al. 2019, section 3)."""
# T tokens, R rows that are read, H hidden, I intermediate, A heads, D head size.

from __future__ import annotations

from torch import Tensor, nn

from bertkit.model.attention import packed_attention
from bertkit.model.attention_probabilities import attention_probabilities
from bertkit.model.config import BertConfig
from bertkit.model.dropout import Dropout
from bertkit.model.row_padding import pad_rows
from bertkit.model.sequence_layout import SequenceLayout


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
