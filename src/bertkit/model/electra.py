"""ELECTRA (Clark et al. 2020): BERT's layers behind narrower embeddings, and heads of its own."""
# T tokens, B sequences, H hidden, E embedding.

from __future__ import annotations

from torch import Tensor, nn

from bertkit.core.batch import PackedBatch
from bertkit.model.architecture import Architecture
from bertkit.model.bert import exact_transform
from bertkit.model.config import REPLACED_TOKEN_DETECTION, ElectraConfig
from bertkit.model.dropout import Dropout
from bertkit.model.layers import BertEmbeddings, BertLayer, activation


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


ELECTRA = Architecture(
    config_type=ElectraConfig,
    embeddings=ElectraEmbeddings,
    layer=lambda config, _: BertLayer(config),
    pooler=ElectraPooler,
    masked_lm_transform=exact_transform,
    own_heads={REPLACED_TOKEN_DETECTION: DiscriminatorHead},
)
