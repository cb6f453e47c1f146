"""Several labels a text: a fine-tuned model against TF-IDF with one logistic regression a label, on GoEmotions.

    python benchmarks/multi_label.py MODEL DATA --run FOLDER [--train-examples 16000] [--dev-examples 2000] [--epochs 1]
        [--batch-size 16] [--learning-rate 2e-4] [--max-length 48] [--freeze embeddings layers:0-2]

DATA holds GoEmotions' `train.tsv`, `dev.tsv` and `test.tsv`, compressed or not. Both sides learn from the same training
examples, choose on the same dev set (the model its weights, the regressions their penalty, both a threshold for each
label) and are measured by the same code on the test set. With `--train-examples` a third row has the regressions on all
training examples. The table goes to benchmarks/results.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from machine import describe_machine, spelled_command, write_results
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from torch import Tensor

from bertkit.recipes.finetune import finetune
from bertkit.recipes.options import FinetuneOptions
from bertkit.tasks.benchmarks import find_benchmark
from bertkit.tasks.contract import TaskInstances
from bertkit.tasks.labelled import LabelledExamples
from bertkit.tasks.multi_label import MultiLabel
from bertkit.text.sequences import EncodedExample

_INVERSE_PENALTIES = (1.0, 4.0)
_FIGURES = ("micro_f1", "macro_f1", "average_precision", "subset_accuracy")


def main() -> None:
    """Run, print and write the comparison."""
    arguments = _parse()
    data = find_benchmark("GoEmotions").data(arguments.data)
    count = arguments.train_examples or len(data.train)
    dev_count = arguments.dev_examples or len(data.dev)
    some = replace(data, train=data.train.take(range(count)), dev=data.dev.take(range(dev_count)))
    options = FinetuneOptions(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        max_length=arguments.max_length,
        freeze=tuple(arguments.freeze),
    )
    result = finetune(arguments.model, some, arguments.run, options)
    seconds = f"{result.best.seconds:,.0f} s of training"
    name = f"{arguments.name}, {arguments.epochs} epoch{'s' * (arguments.epochs > 1)}"
    rows = [(name, count, dict(result.best.dev), dict(result.best.test or {}), seconds)]
    rows.append(_tfidf(some, arguments.max_length))
    if count < len(data.train):
        rows.append(_tfidf(replace(some, train=data.train), arguments.max_length))
    head = ["", "training examples", *(f"test {name}" for name in _FIGURES), "dev average_precision", "chosen on dev"]
    lines = [[name, f"{count:,}", *_cells(dev, test), chosen] for name, count, dev, test, chosen in rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])
    machine = describe_machine("torch", "scikit-learn")
    paths = {str(arguments.model): "MODEL", str(arguments.data): "DATA", str(arguments.run): "FOLDER"}
    command = spelled_command(__file__, paths)
    text = f"`{command}`\n\n{machine}. Thresholds of both sides are chosen on {dev_count:,} dev examples.\n\n{table}\n"
    found = [
        {"model": name, "train_examples": count, "dev": dev, "test": test, "chosen": chosen}
        for name, count, dev, test, chosen in rows
    ]
    write_results("multi_label", text, {"command": command, "machine": machine, "table": found})


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--name", default="MiniLM")
    parser.add_argument("--train-examples", type=int)
    parser.add_argument("--dev-examples", type=int)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--freeze", nargs="+", default=[])
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--max-length", type=int, default=48)
    return parser.parse_args()


def _tfidf(data, max_length: int) -> tuple[str, int, dict[str, float], dict[str, float], str]:
    """Words and pairs of words; the penalty by average precision on dev."""
    task = data.task(max_length)
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2, strip_accents="unicode")
    train, dev, test = (_instances(task, part) for part in (data.train, data.dev, data.test))
    weights = vectorizer.fit_transform(data.train.texts)
    others = [vectorizer.transform(part.texts) for part in (data.dev, data.test)]
    found = []
    for inverse_penalty in _INVERSE_PENALTIES:
        regression = LogisticRegression(C=inverse_penalty, solver="liblinear")
        regressions = OneVsRestClassifier(regression).fit(weights, train.targets.numpy().astype(np.int64))
        logits = [_logits(regressions, part) for part in others]
        tuned = task.tuned(logits[0], dev)
        scores = [tuned.scorer.scores(part, of) for part, of in zip(logits, (dev, test), strict=True)]
        found.append((*scores, f"C = {inverse_penalty:g} of {_INVERSE_PENALTIES}"))
    best = max(found, key=lambda one: one[0]["average_precision"])
    return "TF-IDF, a logistic regression a label", len(data.train), *best


def _logits(regressions: OneVsRestClassifier, weights) -> Tensor:
    return torch.from_numpy(regressions.decision_function(weights))


def _instances(task: MultiLabel, examples: LabelledExamples) -> TaskInstances[LabelledExamples]:
    """Targets alone: the regressions read the texts themselves."""
    empty = EncodedExample(np.zeros(0, np.int32), np.zeros(0, np.int8), np.zeros((0, 2), np.int32))
    targets = task.targets(examples.labels, examples.place)
    return TaskInstances.of_sequences(examples, [empty] * len(examples), targets)


def _cells(dev: dict[str, float], test: dict[str, float]) -> Sequence[str]:
    return [*(f"{test[name]:.3f}" for name in _FIGURES), f"{dev['average_precision']:.3f}"]


if __name__ == "__main__":
    main()
