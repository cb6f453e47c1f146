"""Labels of texts by logistic regression on features."""
# N texts, C classes.

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from bertkit.foundation.errors import InputError
from bertkit.inference.feature_plan import FeaturePlan
from bertkit.inference.loaded_model import LoadedModel
from bertkit.studies.feature_based.feature_cache import FeatureCache, cache_features
from bertkit.studies.feature_based.feature_sets import FeatureSet
from bertkit.studies.feature_based.options import FeatureStudyOptions
from bertkit.studies.feature_based.result import SeedFigures
from bertkit.studies.feature_based.study_data import StudyData
from bertkit.studies.feature_based.text_classifier import TextClassifier
from bertkit.tasks.instances import TaskInstances

_Indices = NDArray[np.int64]


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
        """One where nothing is drawn: the regression has a single solution."""
        return 1 if self._options.hold_out is None else self._options.seeds

    def run(self, features: FeatureSet, layers: Sequence[int], pooling: str, seed: int, run: Path) -> SeedFigures:
        """Train on one kind of features; `run` is not used."""
        start = time.perf_counter()
        places = {name: cache.layers(pooling, layers) for name, cache in self._caches.items()}
        trained_on, held_out = self._split(seed)
        train = self._data.parts["train"]
        classifier = TextClassifier(
            [layer[trained_on] for layer in places["train"]],
            _targets(train)[trained_on],
            len(self._data.task.labels or ()),
            features.combination,
            self._options.inverse_penalty,
        )

        def measure(part: str, chosen: _Indices | None = None) -> dict[str, float]:
            instances = self._data.parts[part]
            vectors = [np.asarray(layer if chosen is None else layer[chosen]) for layer in places[part]]
            return self._data.task.metrics(
                classifier.logits(vectors), instances if chosen is None else _taken(instances, chosen)
            )

        return SeedFigures(
            seed=seed,
            dev=measure("dev") if held_out is None else measure("train", held_out),
            test=measure("test") if "test" in self._data.parts else None,
            layer_weights=classifier.layer_weights,
            seconds=time.perf_counter() - start,
        )

    def largest_class(self, metric: str) -> dict[str, float]:
        """The metric of always saying training's largest class; on held-out texts the mean over the seeds."""
        counts = np.bincount(_targets(self._data.parts["train"]), minlength=len(self._data.task.labels or ()))

        def measure(instances: TaskInstances[Any]) -> float:
            logits = torch.from_numpy(np.tile(counts.astype(np.float32), (len(instances), 1)))
            return self._data.task.metrics(logits, instances)[metric]

        found = {name: measure(part) for name, part in self._data.parts.items() if name != "train"}
        if self._options.hold_out is not None:
            held_out = [self._split(seed)[1] for seed in range(self.seeds)]
            train = self._data.parts["train"]
            shares = [measure(_taken(train, chosen)) for chosen in held_out if chosen is not None]
            found["dev"] = sum(shares) / len(shares)
        return found

    def _split(self, seed: int) -> tuple[_Indices, _Indices | None]:
        """The texts to train on and those held out, as scikit-learn draws them and the demonstration did."""
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


def _taken(instances: TaskInstances[Any], chosen: _Indices) -> TaskInstances[Any]:
    assert instances.targets is not None
    sequences = [instances.sequences[place] for place in chosen]
    return TaskInstances.of_sequences(
        instances.examples.take(chosen), sequences, instances.targets[torch.from_numpy(chosen)]
    )
