"""The benchmarks that bertkit knows by name, one row each."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertkit.foundation.errors import InputError
from bertkit.tasks.classification import Classification
from bertkit.tasks.columns import Columns
from bertkit.tasks.contract import Task
from bertkit.tasks.examples import Examples
from bertkit.tasks.multiple_choice import MultipleChoice
from bertkit.tasks.regression import Regression
from bertkit.tasks.span_extraction import SpanExtraction
from bertkit.tasks.tagging import Tagging
from bertkit.tasks.task_data import TaskData
from bertkit.tasks.task_options import TaskOptions

_COMPRESSIONS = ("", ".xz", ".gz", ".zst")


@dataclass(frozen=True, kw_only=True)
class Split:
    """A file of the benchmark's folder, or the rows of it whose column `where[0]` says `where[1]`."""

    file: str
    where: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Files, columns, labels and metrics of one data set."""

    name: str
    family: type[Task[Any]] = Classification
    columns: Columns
    metric_names: tuple[str, ...] | None = ("accuracy",)
    """The first one decides which weights are best; None takes the family's own."""
    train: Split = Split(file="train.tsv")
    dev: Split = Split(file="dev.tsv")
    test: Split | None = None
    """Only where it has labels: GLUE keeps those of its test sets."""

    def splits(self) -> dict[str, Split]:
        """The labelled splits by name."""
        splits = {"train": self.train, "dev": self.dev}
        return splits if self.test is None else {**splits, "test": self.test}

    def read(self, folder: Path, split: str) -> Examples:
        """Read one of `splits()` from the benchmark's folder; a missing file raises `InputError`."""
        splits = self.splits()
        if split not in splits:
            raise InputError(f"{self.name} has no labelled split {split!r}: use one of {', '.join(splits)}")
        path = _find(folder, splits[split].file, self.name)
        examples: Examples = self.family.read(path, self.columns, where=splits[split].where)
        return examples

    def data(self, folder: Path, options: TaskOptions | None = None) -> TaskData:
        """Read all labelled splits."""
        return TaskData(
            name=self.name,
            family=self.family,
            options=options or TaskOptions(),
            train=self.read(folder, "train"),
            dev=self.read(folder, "dev"),
            test=self.read(folder, "test") if self.test else None,
            columns=self.columns,
            metric_names=self.metric_names,
            benchmark=self.name,
        )


_TEST = Split(file="test.tsv")
_SENTENCE_PAIR = Columns(text="sentence1", text_pair="sentence2")

_ARC = Columns(text="question", choices=tuple(f"choice{place}" for place in range(4)))

BENCHMARKS = (
    # GLUE (Wang et al. 2019) in its own file layout
    Benchmark(name="SST-2", columns=Columns(text="sentence")),
    Benchmark(name="CoLA", columns=Columns(text=3, label=1, header=False), metric_names=("matthews", "accuracy")),
    Benchmark(
        name="MRPC",
        columns=Columns(text="#1 String", text_pair="#2 String", label="Quality"),
        metric_names=("accuracy", "f1"),
    ),
    Benchmark(
        name="STS-B",
        columns=Columns(text="sentence1", text_pair="sentence2", label="score"),
        metric_names=("pearson", "spearman"),
        family=Regression,
    ),
    Benchmark(name="RTE", columns=_SENTENCE_PAIR),
    Benchmark(name="WNLI", columns=_SENTENCE_PAIR),
    Benchmark(name="QNLI", columns=Columns(text="question", text_pair="sentence")),
    # SST-2 as sentences alone: no header, labelled test set
    Benchmark(name="SST-2-sentences", columns=Columns(text=0, label=1, header=False), test=_TEST),
    # Maas et al. 2011
    Benchmark(
        name="IMDb",
        columns=Columns(text="text"),
        train=Split(file="train.tsv", where=("subset", "train")),
        dev=Split(file="train.tsv", where=("subset", "val")),
        test=_TEST,
    ),
    # Marelli et al. 2014
    Benchmark(
        name="SICK-entailment",
        columns=Columns(text="sentence_A", text_pair="sentence_B", label="entailment_judgment"),
        test=_TEST,
    ),
    Benchmark(
        name="SICK-relatedness",
        columns=Columns(text="sentence_A", text_pair="sentence_B", label="relatedness_score"),
        metric_names=("pearson", "spearman"),
        family=Regression,
        test=_TEST,
    ),
    # Rajpurkar et al. 2016 and 2018
    Benchmark(
        name="SQuAD-1.1",
        family=SpanExtraction,
        columns=SpanExtraction.usual_columns,
        metric_names=None,
        train=Split(file="train-v1.1.json"),
        dev=Split(file="dev-v1.1.json"),
    ),
    Benchmark(
        name="SQuAD-2.0",
        family=SpanExtraction,
        columns=SpanExtraction.usual_columns,
        metric_names=None,
        train=Split(file="train-v2.0.json"),
        dev=Split(file="dev-v2.0.json"),
    ),
    # Zellers et al. 2018
    Benchmark(
        name="SWAG",
        family=MultipleChoice,
        columns=Columns(text="sent1", text_pair="sent2", choices=tuple(f"ending{place}" for place in range(4))),
        train=Split(file="train.csv"),
        dev=Split(file="val.csv"),
    ),
    # Clark et al. 2018
    Benchmark(
        name="ARC-easy",
        family=MultipleChoice,
        columns=_ARC,
        train=Split(file="easy_train.csv"),
        dev=Split(file="easy_validation.csv"),
    ),
    Benchmark(
        name="ARC-challenge",
        family=MultipleChoice,
        columns=_ARC,
        train=Split(file="challenge_train.csv"),
        dev=Split(file="challenge_validation.csv"),
    ),
    # Tjong Kim Sang and De Meulder 2003
    Benchmark(
        name="CoNLL-2003",
        family=Tagging,
        columns=Columns(text=0, label=3, header=False),
        metric_names=None,
        train=Split(file="eng.train"),
        dev=Split(file="eng.testa"),
        test=Split(file="eng.testb"),
    ),
)


def find_benchmark(name: str) -> Benchmark:
    """The row called `name`, in any case, with hyphens or without."""
    rows = {_plain(row.name): row for row in BENCHMARKS}
    if _plain(name) not in rows:
        near = difflib.get_close_matches(_plain(name), rows, 1)
        hint = f"did you mean {rows[near[0]].name}?" if near else "the table has"
        known = "" if near else f" {', '.join(row.name for row in BENCHMARKS)}"
        raise InputError(f"there is no benchmark {name!r}: {hint}{known}")
    return rows[_plain(name)]


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(".", "")


def _find(folder: Path, name: str, benchmark: str) -> Path:
    """The file, compressed or not."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give the folder with the files of {benchmark}")
    for suffix in _COMPRESSIONS:
        if (path := folder / f"{name}{suffix}").is_file():
            return path
    raise InputError(f"{folder} has no {name}, which {benchmark} needs: give the folder with its files")
