"""Logistic regression on the cached vectors of texts."""
# K layers, N texts, H hidden, F features, C classes.

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

from bertkit.core.errors import InputError
from bertkit.inference.features import FeaturePlan
from bertkit.inference.loaded_model import LoadedModel
from bertkit.studies.features.cache import FeatureCache, LayerMix, StudyData, cache_features
from bertkit.studies.features.plan import Combination, FeatureSet, FeatureStudyOptions
from bertkit.studies.features.result import SeedFigures
from bertkit.tasks.contract import TaskInstances

_Vectors = NDArray[np.float32]
_Indices = NDArray[np.int64]
_MAX_ITERATIONS = 1000
_MIX_ITERATIONS = 50
"""Enough for the layers' weights; the rest of this fit is not used."""


class TextClassifier:
    """scikit-learn's logistic regression; a learned sum of layers gets its weights first, from a fit in torch."""

    def __init__(
        self,
        layers: Sequence[_Vectors],
        targets: NDArray[np.int64],
        num_classes: int,
        combination: Combination,
        inverse_penalty: float,
    ) -> None:
        if len(np.unique(targets)) < 2:
            raise InputError("all training rows have the same class, so there is nothing to learn: take more rows")
        self._combination, self._num_classes = combination, num_classes
        self.layer_weights = (
            learned_weights(layers, targets, num_classes, inverse_penalty) if combination == "learned" else None
        )
        self._regression = LogisticRegression(C=inverse_penalty, max_iter=_MAX_ITERATIONS)
        self._regression.fit(self._combined(layers), targets)

    def logits(self, layers: Sequence[_Vectors]) -> Tensor:
        """Log-probabilities (N, C), -inf for classes that no training row has."""
        logits = torch.full((len(layers[0]), self._num_classes), -torch.inf)
        probabilities = torch.from_numpy(self._regression.predict_proba(self._combined(layers)))
        logits[:, torch.from_numpy(self._regression.classes_)] = probabilities.log().float()
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
    """Weights (K,) of a sum of layers, learned together with a logistic regression that has scikit-learn's penalty."""
    features, labels = torch.from_numpy(np.stack(layers)), torch.from_numpy(targets)
    mix, linear = LayerMix(len(layers)), nn.Linear(features.shape[2], num_classes)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(
        [*mix.parameters(), *linear.parameters()], max_iter=_MIX_ITERATIONS, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        errors = F.cross_entropy(linear(mix(features)), labels, reduction="sum")
        total = (inverse_penalty * errors + linear.weight.square().sum() / 2) / len(labels)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    weights: list[float] = mix.weights.detach().tolist()
    return weights


class TextBench:
    """Trains and measures on cached vectors of texts."""

    poolings: tuple[str, ...] = ("cls", "mean")

    def __init__(
        self, model: LoadedModel, data: StudyData, layers: Sequence[int], options: FeatureStudyOptions, folder: Path
    ) -> None:
        self._data, self._options = data, options
        plans = {
            pooling: FeaturePlan.of(model, layers=layers, pooling=pooling, max_length=data.task.max_length)
            for pooling in ("cls", "mean")
        }
        self._caches: Mapping[str, FeatureCache] = {
            name: cache_features(model, part.sequences, plans, folder / name) for name, part in data.parts.items()
        }

    @property
    def seeds(self) -> int:
        """One unless texts are held out at random: the regression has a single solution."""
        return 1 if self._options.hold_out is None else self._options.seeds

    def run(self, features: FeatureSet, layers: Sequence[int], pooling: str, seed: int, run: Path) -> SeedFigures:
        """Train one classifier; `run` is not used."""
        start = time.perf_counter()
        vectors = {name: cache.layers(pooling, layers) for name, cache in self._caches.items()}
        trained_on, held_out = self._split(seed)
        train = self._data.parts["train"]
        classifier = TextClassifier(
            [layer[trained_on] for layer in vectors["train"]],
            _targets(train)[trained_on],
            len(self._data.task.classes or ()),
            features.combination,
            self._options.inverse_penalty,
        )

        def measure(part: str, chosen: _Indices | None = None) -> dict[str, float]:
            instances = self._data.parts[part]
            layers_of_part = [np.asarray(layer if chosen is None else layer[chosen]) for layer in vectors[part]]
            return self._data.task.scorer.scores(
                classifier.logits(layers_of_part), instances if chosen is None else _take(instances, chosen)
            )

        return SeedFigures(
            seed=seed,
            dev=measure("dev") if held_out is None else measure("train", held_out),
            test=measure("test") if "test" in self._data.parts else None,
            layer_weights=classifier.layer_weights,
            seconds=time.perf_counter() - start,
        )

    def largest_class(self, metric: str) -> dict[str, float]:
        """The metric of always predicting the largest training class; the mean over the seeds on held-out texts."""
        counts = np.bincount(_targets(self._data.parts["train"]), minlength=len(self._data.task.classes or ()))

        def measure(instances: TaskInstances[Any]) -> float:
            logits = torch.from_numpy(np.tile(counts.astype(np.float32), (len(instances), 1)))
            return self._data.task.scorer.scores(logits, instances)[metric]

        found = {name: measure(part) for name, part in self._data.parts.items() if name != "train"}
        if self._options.hold_out is not None:
            held_out = [self._split(seed)[1] for seed in range(self.seeds)]
            train = self._data.parts["train"]
            shares = [measure(_take(train, chosen)) for chosen in held_out if chosen is not None]
            found["dev"] = sum(shares) / len(shares)
        return found

    def _split(self, seed: int) -> tuple[_Indices, _Indices | None]:
        """Indices of the texts to train on and of those held out, drawn as for the published score."""
        every = np.arange(len(self._data.parts["train"]))
        if self._options.hold_out is None:
            return every, None
        try:
            first, second = train_test_split(every, test_size=self._options.hold_out, random_state=seed)
        except ValueError:
            raise InputError(
                f"{len(every)} training texts are too few to hold {self._options.hold_out:.0%} out: take more"
            ) from None
        return first, second


def _targets(instances: TaskInstances[Any]) -> _Indices:
    assert instances.targets is not None
    targets: _Indices = instances.targets.numpy()
    return targets


def _take(instances: TaskInstances[Any], chosen: _Indices) -> TaskInstances[Any]:
    assert instances.targets is not None
    sequences = [instances.sequences[index] for index in chosen]
    return TaskInstances.of_sequences(
        instances.examples.take(chosen), sequences, instances.targets[torch.from_numpy(chosen)]
    )
