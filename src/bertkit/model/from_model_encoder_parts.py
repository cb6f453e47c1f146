"""What an encoder is put together from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from bertkit.foundation.packed_batch import PackedBatch
from bertkit.model.config import BertConfig
from bertkit.model.embeddings import BertEmbeddings
from bertkit.model.encoder import BertLayer
from bertkit.model.modern_config import ModernBertConfig
from bertkit.model.modern_embeddings import ModernEmbeddings
from bertkit.model.modern_layer import ModernLayer
from bertkit.model.pooler import Pooler
from bertkit.model.prediction_transform import PredictionTransform
from bertkit.model.rotary_layout import RotaryLayout
from bertkit.model.sequence_layout import SequenceLayout


@dataclass(frozen=True)
class EncoderParts:
    """Embeddings, layers, what follows the last one, a pooler of rows (B, H), and how a batch is laid out for them."""

    embeddings: BertEmbeddings | ModernEmbeddings
    layers: list[nn.Module]
    final_norm: nn.Module
    pooler: nn.Module
    layout: Callable[[PackedBatch], SequenceLayout]

    @classmethod
    def of(cls, config: BertConfig) -> EncoderParts:
        """The parts of an architecture."""
        if isinstance(config, ModernBertConfig):
            return cls(
                ModernEmbeddings(config),
                [ModernLayer(config, depth) for depth in range(config.num_hidden_layers)],
                nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False),
                PredictionTransform(config),
                partial(RotaryLayout, config=config),
            )
        return cls(
            BertEmbeddings(config),
            [BertLayer(config) for _ in range(config.num_hidden_layers)],
            nn.Identity(),
            Pooler(config),
            SequenceLayout,
        )
