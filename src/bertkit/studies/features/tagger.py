"""- BiLSTM."""
# K layers, R words, H hidden, W width of a direction, C tags, S steps of the longest sentence.
# R words, C tags.

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from bertkit.core.devices import seed_torch
from bertkit.core.randomness import derive_key
from bertkit.inference.features import FeaturePlan
from bertkit.inference.loaded_model import LoadedModel
from bertkit.model.dropout import Dropout
from bertkit.studies.features.cache import FeatureCache, LayerMix, StudyData, TaggedWords, WordBatch, cache_features
from bertkit.studies.features.plan import Combination, FeatureSet, FeatureStudyOptions
from bertkit.studies.features.result import SeedFigures
from bertkit.tasks.contract import TaskInstances
from bertkit.tasks.tagging.files import Sentences
from bertkit.tasks.tagging.task import Tagging
from bertkit.training.loop import train
from bertkit.training.options import OptimizerOptions, TrainingOptions
from bertkit.training.step import LossTerm

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


_EVALUATION_SENTENCES = 256


class _Objective:
    """Mean cross-entropy over the words."""

    may_split = False

    def __init__(self, module: BiLstmTagger, task: Tagging) -> None:
        self.module, self.task = module, task
        self._weights = sum(parameter.numel() for parameter in module.parameters())

    def counts(self, micro_batch: WordBatch) -> Mapping[str, int]:
        """Words that have a tag."""
        return {self.task.kind: self.task.count(micro_batch.targets)}

    def tokens(self, micro_batch: WordBatch) -> int:
        """R."""
        return len(micro_batch.rows)

    def flops(self, micro_batch: WordBatch) -> float:
        """Two operations a weight and word forward, and twice as many backward."""
        return 6.0 * self._weights * len(micro_batch.rows)

    def outputs(self, micro_batch: WordBatch) -> Tensor:
        """Logits of the words."""
        logits: Tensor = self.module(micro_batch.features, micro_batch.batch_sizes)
        return logits

    def terms(self, micro_batch: WordBatch, outputs: Tensor) -> Mapping[str, LossTerm]:
        """Loss and right tags."""
        targets = micro_batch.targets
        bounds = torch.tensor([0, len(targets)])
        correct = self.task.scorer.correct(outputs.detach(), targets, bounds)
        return {self.task.kind: LossTerm(self.task.loss(outputs, targets, bounds), correct)}


class TaggerTraining:
    """What all feature sets and seeds share."""

    def __init__(
        self, task: Tagging, parts: Mapping[str, TaskInstances[Sentences]], hidden_size: int, device: torch.device
    ) -> None:
        self._task, self._parts, self._hidden_size, self._device = task, parts, hidden_size, device

    def run(
        self,
        words: Mapping[str, TaggedWords],
        num_layers: int,
        combination: Combination,
        options: FeatureStudyOptions,
        seed: int,
        run: Path,
    ) -> tuple[dict[str, dict[str, float]], list[float] | None]:
        """Train on `words["train"]`; the figures of the other parts and the layers' weights, where they are learned.

        `run` is a folder for the loop's own files, removed in the end.
        """
        seed_torch(derive_key(seed, "tagger"))
        tagger = BiLstmTagger(
            self._hidden_size,
            num_layers,
            combination,
            width=options.width,
            tags=len(self._task.classes),
            drop_rate=options.dropout,
        ).to(self._device)
        train_words, batch_size = words["train"], options.batch_size
        per_epoch = train_words.steps_per_epoch(batch_size)
        training = TrainingOptions(
            steps=options.epochs * per_epoch,
            optimizer=OptimizerOptions(learning_rate=options.learning_rate, warmup_share=0.1, bias_correction=True),
            seed=seed,
            precision="float32",
            log_every=per_epoch,
            evaluate_every=per_epoch,
            checkpoint_every=per_epoch,
            select_by=self._task.metric_names[0],
        )
        train(
            _Objective(tagger, self._task),
            lambda start, stop: train_words.shuffled(batch_size, seed, start, stop),
            training,
            run,
            evaluate=lambda: self._measure(tagger, words["dev"], "dev"),
            description=run.name,
        )
        tagger.eval()
        found = {part: self._measure(tagger, words[part], part) for part in words if part != "train"}
        shutil.rmtree(run)
        return found, tagger.layer_weights

    def _measure(self, tagger: BiLstmTagger, words: TaggedWords, part: str) -> dict[str, float]:
        """The task's own metrics, which read logits at the rows that speak for words."""
        instances = self._parts[part]
        scored = instances.scored
        assert scored is not None
        of_words = self._logits(tagger, words)
        logits = of_words.new_zeros(len(scored), of_words.shape[1])
        logits[torch.from_numpy(scored)] = of_words
        return self._task.scorer.scores(logits, instances)

    @torch.no_grad()
    def _logits(self, tagger: BiLstmTagger, words: TaggedWords) -> Tensor:
        """Of all words, in their order: (R, C)."""
        logits = torch.zeros(int(words.lengths.sum()), len(self._task.classes))
        for batch in words.in_order(_EVALUATION_SENTENCES):
            logits[torch.from_numpy(batch.rows)] = tagger(batch.features, batch.batch_sizes).float().cpu()
        return logits


_POOLING = "words"


class TagBench:
    """Trains and measures on cached vectors of the words' first pieces."""

    poolings: tuple[str, ...] = (_POOLING,)

    def __init__(
        self, model: LoadedModel, data: StudyData, layers: Sequence[int], options: FeatureStudyOptions, folder: Path
    ) -> None:
        assert isinstance(data.task, Tagging)
        self._data, self._options, self._device = data, options, model.engine.device
        plan = FeaturePlan.of(model, layers=layers, pooling="tokens", max_length=data.task.max_length)
        self._caches: Mapping[str, FeatureCache] = {
            name: cache_features(model, part.sequences, {_POOLING: plan}, folder / name, kept=_speaking(part))
            for name, part in data.parts.items()
        }
        self._training = TaggerTraining(data.task, data.parts, plan.hidden_size, model.engine.device)

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
