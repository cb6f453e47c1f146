"""A weighted sum of layers whose weights are learned."""
# K layers, R rows, H hidden.

from __future__ import annotations

import torch
from torch import Tensor, nn


class LayerMix(nn.Module):
    """The sum over k of softmax(scores)_k times layer k (Peters et al. 2018, equation 1, whose factor is left out).

    A linear map or an LSTM above learns the factor anyhow. All layers start alike.
    """

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(num_layers))

    @property
    def weights(self) -> Tensor:
        """(K,), which sum to 1."""
        return self.scores.softmax(0)

    def forward(self, layers: Tensor) -> Tensor:
        """(K, R, H) to (R, H)."""
        return torch.einsum("k,krh->rh", self.weights, layers)
