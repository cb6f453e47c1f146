"""In which folder the files of each benchmark are, and how it is fine-tuned on two CPU cores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bertkit.core.randomness import derive_key, generator
from bertkit.tasks.benchmarks import find_benchmark
from bertkit.tasks.data import TaskData
from bertkit.tasks.examples import Examples


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one benchmark is fine-tuned; None takes all examples of a part."""

    folder: str
    epochs: int = 3
    batch_size: int = 32
    max_length: int = 128
    train_examples: int | None = None
    dev_examples: int | None = None
    test_examples: int | None = None


PLANS = {
    "SST-2-sentences": Plan(folder="sst2"),
    "CoLA": Plan(folder="glue/CoLA"),
    "MRPC": Plan(folder="glue/MRPC"),
    "STS-B": Plan(folder="glue/STS-B", epochs=2),
    "RTE": Plan(folder="glue/RTE"),
    "SICK-entailment": Plan(folder="nli/sick", epochs=2),
    "SICK-relatedness": Plan(folder="nli/sick", epochs=2),
    "IMDb": Plan(
        folder="classification/imdb",
        epochs=2,
        max_length=256,
        train_examples=1000,
        dev_examples=500,
        test_examples=1000,
    ),
    "ARC-easy": Plan(folder="multiple_choice/arc", epochs=2),
    "CoNLL-2003": Plan(folder="conll2003", epochs=2),
    "SQuAD-1.1": Plan(folder="squad", epochs=1, max_length=384, train_examples=6000),
    "SST-2": Plan(folder="glue/SST-2", epochs=1),
    "WNLI": Plan(folder="glue/WNLI"),
}


def read_planned(name: str, plan: Plan, data: Path) -> TaskData:
    """The benchmark's examples; each part is a fixed random sample of the plan's size."""
    whole = find_benchmark(name).data(data / plan.folder)
    return replace(
        whole,
        train=_some(whole.train, plan.train_examples),
        dev=None if whole.dev is None else _some(whole.dev, plan.dev_examples),
        test=None if whole.test is None else _some(whole.test, plan.test_examples),
    )


def _some(examples: Examples, count: int | None) -> Examples:
    if count is None or count >= len(examples):
        return examples
    order = generator(derive_key(0, "benchmark subset")).permutation(len(examples))
    return examples.take(sorted(order[:count].tolist()))
