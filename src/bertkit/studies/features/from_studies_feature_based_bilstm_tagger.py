"""The paper's classifier over frozen features: a BiLSTM of two layers and a linear layer."""
# K layers, R words, H hidden, W width of a direction, C tags, S steps of the longest sentence.

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from bertkit.model.dropout import Dropout
from bertkit.studies.feature_based.feature_sets import Combination
from bertkit.studies.feature_based.layer_mix import LayerMix

_LAYERS = 2


class BiLstmTagger(nn.Module):
    """Features of words to logits of tags (Devlin et al. 2019, section 5.3)."""

    def __init__(
        self, hidden_size: int, num_layers: int, combination: Combination, *, width: int, tags: int, drop_rate: float
    ) -> None:
        super().__init__()
        self.mix = LayerMix(num_layers) if combination == "learned" else None
        self.is_sum = combination == "sum"
        self.dropout = Dropout(drop_rate)
        self.lstm = nn.LSTM(
            hidden_size * (num_layers if combination == "concat" else 1),
            width,
            num_layers=_LAYERS,
            dropout=drop_rate,
            bidirectional=True,
        )
        self.dense = nn.Linear(2 * width, tags)

    def forward(self, features: Tensor, batch_sizes: Tensor) -> Tensor:
        """(K, R, H) to (R, C); the words come step by step, of the first `batch_sizes[s]` (S,) sentences at step s."""
        if self.mix is not None:
            combined = self.mix(features)
        elif self.is_sum:
            combined = features.sum(0)
        else:
            combined = features.transpose(0, 1).flatten(1)
        read, _ = self.lstm(PackedSequence(self.dropout(combined), batch_sizes))
        return self.dense(self.dropout(read.data))  # type: ignore[no-any-return]

    @property
    def layer_weights(self) -> list[float] | None:
        """What was learned of the layers' weights, None where there are none."""
        return None if self.mix is None else self.mix.weights.detach().tolist()
