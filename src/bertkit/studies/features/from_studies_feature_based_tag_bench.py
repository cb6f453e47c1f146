"""Tags of words by a BiLSTM on features."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bertkit.inference.feature_plan import FeaturePlan
from bertkit.inference.loaded_model import LoadedModel
from bertkit.studies.feature_based.feature_cache import FeatureCache, cache_features
from bertkit.studies.feature_based.feature_sets import FeatureSet
from bertkit.studies.feature_based.options import FeatureStudyOptions
from bertkit.studies.feature_based.result import SeedFigures
from bertkit.studies.feature_based.study_data import StudyData
from bertkit.studies.feature_based.tagger_training import TaggerTraining
from bertkit.studies.feature_based.word_batches import TaggedWords
from bertkit.tasks.instances import TaskInstances
from bertkit.tasks.tagged_text import Sentences
from bertkit.tasks.tagging import Tagging

_POOLING = "words"


class TagBench:
    """Trains and measures on cached vectors of the words' first pieces."""

    poolings: tuple[str, ...] = (_POOLING,)

    def __init__(
        self, model: LoadedModel, data: StudyData, layers: Sequence[int], options: FeatureStudyOptions, folder: Path
    ) -> None:
        assert isinstance(data.task, Tagging)
        self._data, self._options, self._device = data, options, model.device
        plan = FeaturePlan.of(model, layers=layers, pooling="tokens", max_length=data.task.max_length)
        self._caches: Mapping[str, FeatureCache] = {
            name: cache_features(model, part.sequences, {_POOLING: plan}, folder / name, kept=_speaking(part))
            for name, part in data.parts.items()
        }
        self._training = TaggerTraining(data.task, data.parts, plan.hidden_size, model.device)

    @property
    def seeds(self) -> int:
        """As many as asked for."""
        return self._options.seeds

    def run(self, features: FeatureSet, layers: Sequence[int], pooling: str, seed: int, run: Path) -> SeedFigures:
        """Train on one kind of features."""
        start = time.perf_counter()
        words = {
            name: TaggedWords(
                cache.layers(pooling, layers), *_targets_and_lengths(self._data.parts[name]), self._device
            )
            for name, cache in self._caches.items()
        }
        figures, weights = self._training.run(words, len(layers), features.combination, self._options, seed, run)
        seconds = time.perf_counter() - start
        return SeedFigures(
            seed=seed, dev=figures["dev"], test=figures.get("test"), layer_weights=weights, seconds=seconds
        )

    def largest_class(self, metric: str) -> None:
        """None: no entity is found by always saying one tag."""
        return


def _speaking(instances: TaskInstances[Sentences]) -> NDArray[np.bool_]:
    assert instances.scored is not None
    return instances.scored


def _targets_and_lengths(instances: TaskInstances[Sentences]) -> tuple[torch.Tensor, NDArray[np.int64]]:
    """Of all words, and how many words each sentence has."""
    assert instances.targets is not None
    lengths = np.array([len(sentence.spans) for sentence in instances.examples.items], np.int64)
    return instances.targets[torch.from_numpy(_speaking(instances))], lengths
