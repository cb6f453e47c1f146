"""A BiLSTM tagger trained on frozen features."""
# R words, C tags.

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bertkit.foundation.devices import seed_torch
from bertkit.foundation.randomness import derive_key
from bertkit.studies.feature_based.bilstm_tagger import BiLstmTagger
from bertkit.studies.feature_based.feature_sets import Combination
from bertkit.studies.feature_based.options import FeatureStudyOptions
from bertkit.studies.feature_based.word_batches import TaggedWords, WordBatch
from bertkit.tasks.instances import TaskInstances
from bertkit.tasks.tagged_text import Sentences
from bertkit.tasks.tagging import Tagging
from bertkit.training.loop import train
from bertkit.training.objective import LossTerm
from bertkit.training.options import OptimizerOptions, TrainingOptions

_EVALUATION_SENTENCES = 256


class _Objective:
    """Mean cross-entropy over the words."""

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

    def halves(self, micro_batch: WordBatch) -> Sequence[WordBatch]:
        """Not cut."""
        return [micro_batch]

    def terms(self, micro_batch: WordBatch, model: nn.Module) -> Mapping[str, LossTerm]:
        """Loss and right tags."""
        logits, targets = model(micro_batch.features, micro_batch.batch_sizes), micro_batch.targets
        bounds = torch.tensor([0, len(targets)])
        correct = self.task.correct(logits.detach(), targets, bounds)
        return {self.task.kind: LossTerm(self.task.loss(logits, targets, bounds), correct)}


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
        return self._task.metrics(logits, instances)

    @torch.no_grad()
    def _logits(self, tagger: BiLstmTagger, words: TaggedWords) -> Tensor:
        """Of all words, in their order: (R, C)."""
        logits = torch.zeros(int(words.lengths.sum()), len(self._task.classes))
        for batch in words.in_order(_EVALUATION_SENTENCES):
            logits[torch.from_numpy(batch.rows)] = tagger(batch.features, batch.batch_sizes).float().cpu()
        return logits
