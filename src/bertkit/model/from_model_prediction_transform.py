"""What stands before the masked LM's decoder, and in ModernBERT before every head."""
# N rows, H hidden.

from __future__ import annotations

from torch import Tensor, nn

from bertkit.model.config import BertConfig
from bertkit.model.encoder import activation
from bertkit.model.modern_config import ModernBertConfig
from bertkit.model.residual_linear import ResidualLinear


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
