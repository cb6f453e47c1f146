"""Parameters and operations of a model, counted."""
# B sequences, S tokens of a sequence, T tokens, M masked positions.

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from bertkit.model.architectures import architecture_of
from bertkit.model.config import BertConfig
from bertkit.model.encoder import Encoder

_EMBEDDINGS = {
    "word": "word_embeddings",
    "position": "position_embeddings",
    "type": "token_type_embeddings",
    "norm": "norm",
}
_HEADS = ("masked_lm", "next_sentence", "head")


@dataclass(frozen=True, kw_only=True)
class ParameterCounts:
    """The embeddings by kind, the layers in their order, the pooler and the heads; what is tied counts once."""

    embeddings: dict[str, int]
    layers: tuple[int, ...]
    final_norm: int
    """Behind the last layer, where layers norm what comes in."""
    pooler: int
    heads: dict[str, int]

    @classmethod
    def of(cls, model: nn.Module) -> ParameterCounts:
        """Count a module whose encoder is its attribute `bert`; the weights need no memory."""
        bert = model.bert
        assert isinstance(bert, Encoder)
        heads = {name: _size(getattr(model, name, None)) for name in _HEADS}
        embeddings = {kind: _size(getattr(bert.embeddings, name, None)) for kind, name in _EMBEDDINGS.items()}
        others = {
            name: _size(part) for name, part in bert.embeddings.named_children() if name not in _EMBEDDINGS.values()
        }
        return cls(
            embeddings=embeddings | {name: size for name, size in others.items() if size},
            layers=tuple(_size(layer) for layer in bert.layers),
            final_norm=_size(bert.final_norm),
            pooler=_size(bert.pooler),
            heads={name: size for name, size in heads.items() if size},
        )

    @property
    def encoder(self) -> int:
        """Embeddings, layers, the norm behind them and pooler: Hugging Face's `BertModel`."""
        return sum(self.embeddings.values()) + sum(self.layers) + self.final_norm + self.pooler

    @property
    def total(self) -> int:
        """The encoder and its heads."""
        return self.encoder + sum(self.heads.values())

    def to_json(self) -> dict[str, Any]:
        """All figures, with their sums."""
        return asdict(self) | {"layers": list(self.layers), "encoder": self.encoder, "total": self.total}


def _size(module: nn.Module | None) -> int:
    return 0 if module is None else sum(parameter.numel() for parameter in module.parameters())


_TRAINING_PASSES = 3
"""Backward costs two forward passes."""


def training_flops(
    config: BertConfig, cu_seqlens: Tensor, *, masked_positions: int = 0, last_rows: int | None = None
) -> float:
    """Forward and backward of a packed batch (B+1 boundaries), with a masked-LM head on `masked_positions`.

    Where only `last_rows` of the tokens are read of the last layer, it needs no more than query, key and value of the
    others.

    A multiplication with an addition counts as two. Attention counts the pairs of tokens that see each other;
    embeddings, norms, activations and dropout are left out (as in Kaplan et al. 2020, section 2.1).
    """
    lengths = cu_seqlens.diff().double()
    hidden, intermediate = config.hidden_size, config.intermediate_size
    depths = range(config.num_hidden_layers)
    matrices_of_network, windows = architecture_of(config).feed_forward_matrices, map(config.window, depths)
    tokens = float(lengths.sum())
    first_part, rest = 3 * hidden * hidden, hidden * hidden + matrices_of_network * hidden * intermediate
    layers = config.num_hidden_layers
    rows = tokens * layers if last_rows is None else tokens * (layers - 1) + last_rows
    matrices = tokens * layers * first_part + rows * rest
    attention = sum(_pairs(lengths, window) for window in windows) * 2 * hidden
    pooler = len(lengths) * hidden * hidden if config.has_pooler else 0
    width = config.embedding_size
    projection = tokens * width * hidden if width != hidden else 0
    masked_lm = masked_positions * (hidden * width + width * config.vocab_size)
    return 2 * _TRAINING_PASSES * (projection + matrices + attention + pooler + masked_lm)


def _pairs(lengths: Tensor, window: int | None) -> float:
    """Pairs of tokens of a sequence at most `window` apart, themselves counted."""
    if window is None:
        return float((lengths**2).sum())
    reach = (lengths - 1).clamp(max=window)
    return float((lengths * (2 * reach + 1) - reach * (reach + 1)).sum())
