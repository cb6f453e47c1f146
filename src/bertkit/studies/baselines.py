"""Methods to compare on few labels: a fine-tuned network, TF-IDF with logistic regression, the largest class."""
# N examples, C classes.

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import FeatureUnion
from torch import Tensor, nn

from bertkit.core.devices import default_device, token_budget
from bertkit.inference.evaluation import compute_logits
from bertkit.model.initialization import initialize
from bertkit.pretrained.folder import ModelFolder
from bertkit.recipes.finetune_seed import FinetuneLoader, FinetuneObjective
from bertkit.tasks.classification import Classification, classes_of
from bertkit.tasks.contract import Task, TaskInstances
from bertkit.tasks.labelled import LabelledExamples
from bertkit.tasks.model import new_task_model, save_task_model
from bertkit.text.sequences import EncodedExample
from bertkit.text.tokenizer import Tokenizer
from bertkit.training.loop import train
from bertkit.training.options import OptimizerOptions, TrainingOptions
from bertkit.training.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class FewLabelOptions:
    """How a network is fine-tuned without a dev set, which would cost labels: the last step's weights are used."""

    epochs: int = 4
    min_steps: int = 150
    """Least updates: a small set is repeated until they are done."""
    batch_size: int = 32
    learning_rate: float = 5e-4
    warmup_share: float = 0.1

    def steps(self, num_examples: int) -> int:
        """Number of updates for so many examples."""
        return max(self.min_steps, self.epochs * math.ceil(num_examples / self.batch_size))


def finetuned_predictions(
    sample: LabelledExamples,
    unseen: Sequence[str],
    seed: int,
    *,
    model: Path,
    options: FewLabelOptions,
    max_length: int,
    from_random: bool,
    run: Path,
    save_to: Path | None = None,
) -> list[str]:
    """Labels of `unseen`, predicted by a network that was fine-tuned on `sample`; the classes are the sample's."""
    folder = ModelFolder.open(model)
    tokenizer = Tokenizer.from_pretrained(folder.path)
    task = Classification(classes=classes_of(sample.labels, sample.place), max_length=max_length)
    logits = finetune_few_labels(
        folder,
        tokenizer,
        task,
        task.encode(sample, tokenizer),
        tokenizer.encode_batch(unseen, max_length=max_length),
        options,
        from_random=from_random,
        seed=seed,
        run=run,
        save_to=save_to,
    )
    return [task.classes[place] for place in logits.argmax(-1).tolist()]


def finetune_few_labels(
    folder: ModelFolder,
    tokenizer: Tokenizer,
    task: Task[Any],
    examples: TaskInstances[Any],
    unseen: Sequence[EncodedExample],
    options: FewLabelOptions,
    *,
    from_random: bool,
    seed: int,
    run: Path,
    save_to: Path | None = None,
) -> Tensor:
    """Train on N instances and return the logits of `unseen` (its length, C).

    With `from_random` only the sizes are taken from the folder. `run` is a folder for the training loop's files; it is
    removed at the end, and at the start if an interrupted run left it. The model is saved in `save_to`, if given.
    """
    shutil.rmtree(run, ignore_errors=True)
    device = default_device()
    network = new_task_model(task, folder.config)
    initialize(network, folder.config.initializer_range, seed)
    if not from_random:
        folder.load_into(nn.ModuleDict({"bert": network.bert}))
    network.to(device)
    loader = FinetuneLoader(
        examples,
        batch_size=options.batch_size,
        micro_batch_tokens=token_budget(device, "training"),
        seed=seed,
    )
    steps = options.steps(len(examples))
    optimizer = OptimizerOptions(
        learning_rate=options.learning_rate, warmup_share=options.warmup_share, bias_correction=True
    )
    training = TrainingOptions(steps=steps, optimizer=optimizer, seed=seed, log_every=steps, checkpoint_every=steps)
    train(FinetuneObjective(network, task), loader.batches, training, RunFolder(run), description=run.name)
    logits = compute_logits(
        network, unseen, max_tokens=token_budget(device, "evaluation"), precision=training.precision
    )
    if save_to is not None:
        save_task_model(save_to, network, task, tokenizer)
    shutil.rmtree(run)
    return logits


_MOST_FOLDS = 4
_ENOUGH_FOR_ONE_SPLIT = 500
"""Texts with which one split is used in place of cross-validation."""
_INVERSE_PENALTIES = (1.0, 10.0, 100.0)


def tfidf_predictions(texts: Sequence[str], labels: Sequence[str], unseen: Sequence[str], seed: int) -> list[str]:
    """Labels of `unseen`, predicted by logistic regression on TF-IDF weights.

    Cross-validation on the training texts, or one split where there are many, chooses the features (words and pairs of
    words, characters within words, or both) and the strength of the penalty. Every class needs two texts.
    """
    splits = _splits(labels, seed)
    choices = []
    for features in _features():
        weights = features.fit_transform(texts)
        for inverse_penalty in _INVERSE_PENALTIES:
            score = cross_val_score(_classifier(inverse_penalty), weights, labels, cv=splits).mean()
            choices.append((score, features, weights, inverse_penalty))
    _, features, weights, inverse_penalty = max(choices, key=lambda choice: choice[0])  # the first of equals
    classifier = _classifier(inverse_penalty).fit(weights, labels)
    return [str(label) for label in classifier.predict(features.transform(unseen))]


def largest_class_predictions(labels: Sequence[str], count: int) -> list[str]:
    """The most frequent training label, the alphabetically first of equals, `count` times."""
    counts = Counter(labels)
    return [min(counts, key=lambda label: (-counts[label], label))] * count


def _splits(labels: Sequence[str], seed: int) -> Any:
    if len(labels) >= _ENOUGH_FOR_ONE_SPLIT:
        return StratifiedShuffleSplit(1, test_size=1 / _MOST_FOLDS, random_state=seed)
    return StratifiedKFold(min(_MOST_FOLDS, *Counter(labels).values()), shuffle=True, random_state=seed)


def _classifier(inverse_penalty: float) -> LogisticRegression:
    return LogisticRegression(C=inverse_penalty, max_iter=300, tol=1e-3)


def _features() -> list[Any]:
    def words() -> Any:
        return TfidfVectorizer(analyzer="word", ngram_range=(1, 2), sublinear_tf=True)

    def characters() -> Any:
        return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)

    return [words(), characters(), FeatureUnion([("words", words()), ("characters", characters())])]
