"""Logistic regression on frozen features of texts."""
# K layers, N texts, H hidden, F features, C classes.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F

from bertkit.foundation.errors import InputError
from bertkit.studies.feature_based.feature_sets import Combination
from bertkit.studies.feature_based.layer_mix import LayerMix

_Vectors = NDArray[np.float32]
_MAX_ITERATIONS = 1000
_MIX_ITERATIONS = 50
"""Enough for the layers' weights, which are all that is kept of this fit."""


class TextClassifier:
    """scikit-learn's logistic regression; the weights of a sum of layers are learned before, with one like it."""

    def __init__(
        self,
        layers: Sequence[_Vectors],
        targets: NDArray[np.int64],
        num_classes: int,
        combination: Combination,
        inverse_penalty: float,
    ) -> None:
        if len(np.unique(targets)) < 2:
            raise InputError("all training rows have one class, which leaves nothing to learn: take more rows")
        self._combination, self._num_classes = combination, num_classes
        self.layer_weights = (
            learned_weights(layers, targets, num_classes, inverse_penalty) if combination == "learned" else None
        )
        self._regression = LogisticRegression(C=inverse_penalty, max_iter=_MAX_ITERATIONS)
        self._regression.fit(self._combined(layers), targets)

    def logits(self, layers: Sequence[_Vectors]) -> Tensor:
        """Logarithms of probabilities (N, C); classes that training rows lack have none."""
        logits = torch.full((len(layers[0]), self._num_classes), -torch.inf)
        chances = torch.from_numpy(self._regression.predict_proba(self._combined(layers)))
        logits[:, torch.from_numpy(self._regression.classes_)] = chances.log().float()
        return logits

    def _combined(self, layers: Sequence[_Vectors]) -> _Vectors:
        """(N, F)."""
        if self._combination == "concat":
            return np.concatenate(layers, axis=1)
        weights = np.array(self.layer_weights or np.ones(len(layers)), np.float32)
        combined: _Vectors = np.einsum("k,knh->nh", weights, np.stack(layers))
        return combined


def learned_weights(
    layers: Sequence[_Vectors], targets: NDArray[np.int64], num_classes: int, inverse_penalty: float
) -> list[float]:
    """Weights of a sum of layers (K,), learned together with a logistic regression under scikit-learn's penalty."""
    features, right = torch.from_numpy(np.stack(layers)), torch.from_numpy(targets)
    mix, linear = LayerMix(len(layers)), nn.Linear(features.shape[2], num_classes)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(
        [*mix.parameters(), *linear.parameters()], max_iter=_MIX_ITERATIONS, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        errors = F.cross_entropy(linear(mix(features)), right, reduction="sum")
        total = (inverse_penalty * errors + linear.weight.square().sum() / 2) / len(right)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    weights: list[float] = mix.weights.detach().tolist()
    return weights
