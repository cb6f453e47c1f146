"""How many parameters a model has, part by part."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from bertkit.model.bert import BertModel

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
        assert isinstance(bert, BertModel)
        heads = {name: _size(getattr(model, name, None)) for name in _HEADS}
        return cls(
            embeddings={kind: _size(getattr(bert.embeddings, name, None)) for kind, name in _EMBEDDINGS.items()},
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
