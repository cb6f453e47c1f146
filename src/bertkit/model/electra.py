"""ELECTRA (Clark et al. 2020): BERT's layers behind narrower embeddings, and heads of its own."""
# T tokens, B sequences, H hidden, E embedding.

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from bertkit.core.batch import PackedBatch
from bertkit.core.errors import InputError
from bertkit.model.architecture import Architecture
from bertkit.model.bert import exact_transform
from bertkit.model.config import BertConfig
from bertkit.model.dropout import Dropout
from bertkit.model.layers import BertEmbeddings, BertLayer, activation


@dataclass(frozen=True, kw_only=True)
class ElectraConfig(BertConfig):
    """Sizes and constants; the defaults are ELECTRA-small."""

    has_pooler: ClassVar[bool] = False

    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    model_type: str = "electra"
    embedding_size: int = 128
    """Width of the embeddings, which are projected to the hidden size where the two differ."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.embedding_size, int) or self.embedding_size < 1:
            raise InputError(f"embedding_size must be a whole number of at least 1, got {self.embedding_size!r}")


class ElectraEmbeddings(BertEmbeddings):
    """BERT's embeddings, projected to the hidden size."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        same = config.embedding_size == config.hidden_size
        self.projection = nn.Identity() if same else nn.Linear(config.embedding_size, config.hidden_size)

    def forward(self, batch: PackedBatch, word_vectors: Tensor | None = None) -> Tensor:
        """Embed a batch as (T, H); `word_vectors` (T, E) stand in for those of its ids."""
        return self.projection(super().forward(batch, word_vectors))  # type: ignore[no-any-return]


class ElectraPooler(nn.Module):
    """Dropout, dense and GELU: what a classifier of sequences has before its last layer."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dropout = Dropout(config.classifier_dropout)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = activation("gelu")

    def forward(self, first_tokens: Tensor) -> Tensor:
        """(B, H) to (B, H)."""
        return self.activation(self.dense(self.dropout(first_tokens)))  # type: ignore[no-any-return]


class DiscriminatorHead(nn.Module):
    """A score for every token: that it was replaced (section 2)."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = activation(config.hidden_act)
        self.prediction = nn.Linear(config.hidden_size, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states (T, H) to logits (T, 1)."""
        return self.prediction(self.activation(self.dense(hidden)))  # type: ignore[no-any-return]


REPLACED_TOKEN_DETECTION = "BertForReplacedTokenDetection"
"""Hugging Face's ElectraForPreTraining, which has nothing of BertForPreTraining."""

ELECTRA = Architecture(
    config_type=ElectraConfig,
    embeddings=ElectraEmbeddings,
    layer=lambda config, _: BertLayer(config),
    pooler=ElectraPooler,
    masked_lm_transform=exact_transform,
    own_heads={REPLACED_TOKEN_DETECTION: DiscriminatorHead},
)
