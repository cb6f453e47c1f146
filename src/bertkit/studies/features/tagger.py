"""A BiLSTM that tags words from cached features, as in Devlin et al. 2019, section 5.3."""
# K layers, R words, H hidden, C tags, B sentences, S steps of the longest sentence.

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from bertkit.core.arrays import run_starts
from bertkit.core.devices import seed_torch
from bertkit.core.randomness import derive_key, generator
from bertkit.inference.features import FeaturePlan
from bertkit.inference.loaded_model import LoadedModel
from bertkit.model.dropout import Dropout
from bertkit.studies.features.cache import FeatureCache, LayerMix, StudyData, cache_features
from bertkit.studies.features.plan import Combination, FeatureSet, FeatureStudyOptions
from bertkit.studies.features.result import SeedFigures
from bertkit.tasks.contract import TaskInstances
from bertkit.tasks.tagging.files import Sentences
from bertkit.tasks.tagging.task import Tagging
from bertkit.training.loop import train
from bertkit.training.options import OptimizerOptions, TrainingOptions
from bertkit.training.run_folder import RunFolder
from bertkit.training.step import LossTerm

_LAYERS = 2
_EVALUATION_SENTENCES = 256
"""Sentences of a batch that is only evaluated."""
_POOLING = "words"


class BiLstmTagger(nn.Module):
    """From features of words to logits of tags."""

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
        """(K, R, H) to (R, C); the words are those of step 0, then those of step 1: `batch_sizes` (S,) of each."""
        if self.mix is not None:
            combined = self.mix(features)
        elif self.is_sum:
            combined = features.sum(0)
        else:
            combined = features.transpose(0, 1).flatten(1)
        states, _ = self.lstm(PackedSequence(self.dropout(combined), batch_sizes))
        return self.dense(self.dropout(states.data))  # type: ignore[no-any-return]

    @property
    def layer_weights(self) -> list[float] | None:
        """The learned weights of the layers, None where they are not learned."""
        return None if self.mix is None else self.mix.weights.detach().tolist()


class _Objective:
    """Mean cross-entropy over the words."""

    may_split = False

    def __init__(self, module: BiLstmTagger, task: Tagging) -> None:
        self.module, self.task = module, task
        self._weights = sum(parameter.numel() for parameter in module.parameters())

    def counts(self, micro_batch: WordBatch) -> Mapping[str, int]:
        """How many words have a tag."""
        return {self.task.kind: self.task.count(micro_batch.targets)}

    def tokens(self, micro_batch: WordBatch) -> int:
        """How many words the batch has."""
        return len(micro_batch.rows)

    def flops(self, micro_batch: WordBatch) -> float:
        """Two operations for each weight and word forward, and twice as many backward."""
        return 6.0 * self._weights * len(micro_batch.rows)

    def outputs(self, micro_batch: WordBatch) -> Tensor:
        """Logits of the words."""
        logits: Tensor = self.module(micro_batch.features, micro_batch.batch_sizes)
        return logits

    def terms(self, micro_batch: WordBatch, outputs: Tensor) -> Mapping[str, LossTerm]:
        """Loss and correct tags."""
        targets = micro_batch.targets
        bounds = torch.tensor([0, len(targets)])
        correct = self.task.scorer.correct(outputs.detach(), targets, bounds)
        return {self.task.kind: LossTerm(self.task.loss(outputs, targets, bounds), correct)}


@dataclass(frozen=True)
class WordBatch:
    """The first words of all sentences, the longest sentence first, then the second words, and so on."""

    features: Tensor
    """(K, R, H)"""
    batch_sizes: Tensor
    """(S,) sentences that have a word at each step; on the CPU, as torch wants it."""
    targets: Tensor
    """(R,)"""
    rows: NDArray[np.int64]
    """(R,) index of each word among all words."""

    def to(self, device: torch.device) -> WordBatch:
        """Copy to a device."""
        return WordBatch(self.features.to(device), self.batch_sizes, self.targets.to(device), self.rows)


class TaggedWords:
    """The words of all sentences: each layer's features (R, H), targets (R,), and the sentences' lengths (B,)."""

    def __init__(
        self, layers: Sequence[NDArray[Any]], targets: Tensor, lengths: NDArray[np.int64], device: torch.device
    ) -> None:
        self._layers, self._targets, self._device = layers, targets, device
        self.lengths, self._starts = lengths, run_starts(lengths)
        self._filled = np.flatnonzero(lengths)

    def batch(self, sentences: NDArray[np.int64]) -> WordBatch:
        """The words of these sentences, none of which is empty."""
        order = sentences[np.argsort(-self.lengths[sentences], kind="stable")]
        lengths, steps = self.lengths[order], np.arange(self.lengths[order[0]])
        is_word = steps[:, None] < lengths  # (S, B)
        rows = (self._starts[order] + steps[:, None])[is_word]
        features = np.stack([layer[rows] for layer in self._layers]).astype(np.float32)
        return WordBatch(
            torch.from_numpy(features).to(self._device),
            torch.from_numpy(is_word.sum(1)),
            self._targets[torch.from_numpy(rows)].to(self._device),
            rows,
        )

    def steps_per_epoch(self, batch_size: int) -> int:
        """Batches in an epoch; the last may be smaller."""
        return math.ceil(len(self._filled) / batch_size)

    def shuffled(self, batch_size: int, seed: int, start: int, stop: int) -> Iterator[list[WordBatch]]:
        """The batches of the steps from `start` up to `stop`; every epoch has another order."""
        for step in range(start, stop):
            epoch, place = divmod(step, self.steps_per_epoch(batch_size))
            order = generator(derive_key(seed, "order", epoch)).permutation(self._filled)
            yield [self.batch(order[place * batch_size : (place + 1) * batch_size])]

    def in_order(self, batch_size: int) -> Iterator[WordBatch]:
        """Every sentence once, the longest first."""
        order = self._filled[np.argsort(-self.lengths[self._filled], kind="stable")]
        for first in range(0, len(order), batch_size):
            yield self.batch(order[first : first + batch_size])


class TaggerTraining:
    """Trains and measures taggers, one for each feature set and seed."""

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
        """Train on `words["train"]`; return the metrics of the other parts and the layers' weights if learned.

        `run` is a folder for the training loop's files, which is removed at the end.
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
            RunFolder(run),
            evaluate=lambda: self._measure(tagger, words["dev"], "dev"),
            description=run.name,
        )
        tagger.eval()
        metrics = {part: self._measure(tagger, words[part], part) for part in words if part != "train"}
        shutil.rmtree(run)
        return metrics, tagger.layer_weights

    def _measure(self, tagger: BiLstmTagger, words: TaggedWords, part: str) -> dict[str, float]:
        """The task's metrics, which read the logits at the first piece of every word."""
        instances = self._parts[part]
        scored = instances.scored
        assert scored is not None
        of_words = self._logits(tagger, words)
        logits = of_words.new_zeros(len(scored), of_words.shape[1])
        logits[torch.from_numpy(scored)] = of_words
        return self._task.scorer.scores(logits, instances)

    @torch.no_grad()
    def _logits(self, tagger: BiLstmTagger, words: TaggedWords) -> Tensor:
        """The logits (R, C) of all words, in their order."""
        logits = torch.zeros(int(words.lengths.sum()), len(self._task.classes))
        for batch in words.in_order(_EVALUATION_SENTENCES):
            logits[torch.from_numpy(batch.rows)] = tagger(batch.features, batch.batch_sizes).float().cpu()
        return logits


class TagBench:
    """Trains and measures on the cached vector of each word's first piece."""

    poolings: tuple[str, ...] = (_POOLING,)

    def __init__(
        self, model: LoadedModel, data: StudyData, layers: Sequence[int], options: FeatureStudyOptions, folder: Path
    ) -> None:
        assert isinstance(data.task, Tagging)
        self._data, self._options, self._device = data, options, torch.device(model.engine.backend.device)
        plan = FeaturePlan.of(model, layers=layers, pooling="tokens", max_length=data.task.max_length)
        self._caches: Mapping[str, FeatureCache] = {
            name: cache_features(model, part.sequences, {_POOLING: plan}, folder / name, kept=_is_first_piece(part))
            for name, part in data.parts.items()
        }
        self._training = TaggerTraining(
            data.task, data.parts, plan.hidden_size, torch.device(model.engine.backend.device)
        )

    @property
    def seeds(self) -> int:
        """As many as the options say."""
        return self._options.seeds

    def run(self, features: FeatureSet, layers: Sequence[int], pooling: str, seed: int, run: Path) -> SeedFigures:
        """Train one tagger."""
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
        """None: a tagger that always predicts one tag finds no entity."""
        return


def _is_first_piece(instances: TaskInstances[Sentences]) -> NDArray[np.bool_]:
    assert instances.scored is not None
    return instances.scored


def _targets_and_lengths(instances: TaskInstances[Sentences]) -> tuple[torch.Tensor, NDArray[np.int64]]:
    """Targets of all words, and how many words each sentence has."""
    assert instances.targets is not None
    lengths = np.array([len(sentence.spans) for sentence in instances.examples.items], np.int64)
    return instances.targets[torch.from_numpy(_is_first_piece(instances))], lengths
