"""The benchmarks that bertkit knows by name, one row each."""

from __future__ import annotations

import difflib

from bertkit.core.errors import InputError
from bertkit.tasks.benchmark import Benchmark, HubLayout, Split
from bertkit.tasks.options import Columns

_TEST = Split(file="test.tsv")
_UNLABELLED_TEST = {"test": _TEST}
_SENTENCE_PAIR = Columns(text="sentence1", text_pair="sentence2")
_QUESTION_SENTENCE = Columns(text="question", text_pair="sentence")
_PREMISE = Columns(text="premise", text_pair="hypothesis")
_ENTAILMENT, _INFERENCE = ("entailment", "not_entailment"), ("entailment", "neutral", "contradiction")
_GLUE = "nyu-mll/glue"

_SQUAD = Columns(text="question", text_pair="context", label="answers")
_ARC = Columns(text="question", choices=tuple(f"choice{place}" for place in range(4)))

_EMOTIONS = (
    "admiration",
    "amusement",
    "anger",
    "annoyance",
    "approval",
    "caring",
    "confusion",
    "curiosity",
    "desire",
    "disappointment",
    "disapproval",
    "disgust",
    "embarrassment",
    "excitement",
    "fear",
    "gratitude",
    "grief",
    "joy",
    "love",
    "nervousness",
    "optimism",
    "pride",
    "realization",
    "relief",
    "remorse",
    "sadness",
    "surprise",
    "neutral",
)

BENCHMARKS = (
    # GLUE (Wang et al. 2019) in its own file layout
    Benchmark(
        name="SST-2",
        columns=Columns(text="sentence"),
        unlabelled=_UNLABELLED_TEST,
        hub=HubLayout(name=f"{_GLUE}:sst2", columns=Columns(text="sentence")),
    ),
    Benchmark(
        name="CoLA",
        columns=Columns(text=3, label=1, header=False),
        metric_names=("matthews", "accuracy"),
        unlabelled={"test": Split(file="test.tsv", columns=Columns(text="sentence"))},
        hub=HubLayout(name=f"{_GLUE}:cola", columns=Columns(text="sentence")),
    ),
    Benchmark(
        name="MRPC",
        columns=Columns(text="#1 String", text_pair="#2 String", label="Quality"),
        metric_names=("accuracy", "f1"),
        unlabelled=_UNLABELLED_TEST,
        hub=HubLayout(name=f"{_GLUE}:mrpc", columns=_SENTENCE_PAIR),
    ),
    Benchmark(
        name="QQP",
        columns=Columns(text="question1", text_pair="question2", label="is_duplicate", broken_rows="skip"),
        metric_names=("accuracy", "f1"),
        unlabelled=_UNLABELLED_TEST,
        hub=HubLayout(
            name=f"{_GLUE}:qqp", columns=Columns(text="question1", text_pair="question2", broken_rows="skip")
        ),
    ),
    Benchmark(
        name="STS-B",
        columns=Columns(text="sentence1", text_pair="sentence2", label="score"),
        metric_names=("pearson", "spearman"),
        kind="regression",
        unlabelled=_UNLABELLED_TEST,
        hub=HubLayout(name=f"{_GLUE}:stsb", columns=_SENTENCE_PAIR),
    ),
    Benchmark(
        name="MNLI",
        columns=Columns(text="sentence1", text_pair="sentence2", label="gold_label"),
        dev=Split(file="dev_matched.tsv"),
        further_dev={"mismatched": Split(file="dev_mismatched.tsv")},
        unlabelled={
            "test_matched": Split(file="test_matched.tsv"),
            "test_mismatched": Split(file="test_mismatched.tsv"),
        },
        hub=HubLayout(
            name=f"{_GLUE}:mnli",
            columns=_PREMISE,
            splits={
                "train": "train",
                "dev": "validation_matched",
                "dev_mismatched": "validation_mismatched",
                "test_matched": "test_matched",
                "test_mismatched": "test_mismatched",
            },
            classes=_INFERENCE,
        ),
    ),
    Benchmark(
        name="QNLI",
        columns=_QUESTION_SENTENCE,
        unlabelled=_UNLABELLED_TEST,
        hub=HubLayout(name=f"{_GLUE}:qnli", columns=_QUESTION_SENTENCE, classes=_ENTAILMENT),
    ),
    Benchmark(
        name="RTE",
        columns=_SENTENCE_PAIR,
        unlabelled=_UNLABELLED_TEST,
        hub=HubLayout(name=f"{_GLUE}:rte", columns=_SENTENCE_PAIR, classes=_ENTAILMENT),
    ),
    Benchmark(
        name="WNLI",
        columns=_SENTENCE_PAIR,
        unlabelled=_UNLABELLED_TEST,
        hub=HubLayout(name=f"{_GLUE}:wnli", columns=_SENTENCE_PAIR),
    ),
    # GLUE's diagnostic set, whose labels are in a file of their own
    Benchmark(
        name="AX",
        columns=_SENTENCE_PAIR,
        metric_names=("matthews",),
        train=None,
        dev=None,
        test=Split(file="diagnostic-full.tsv", columns=Columns(text="Premise", text_pair="Hypothesis", label="Label")),
        unlabelled={"test": Split(file="diagnostic.tsv")},
        folder_names=("diagnostic",),
        hub=HubLayout(name=f"{_GLUE}:ax", columns=_PREMISE, classes=_INFERENCE),
        model_of="MNLI",
    ),
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
    # Demszky et al. 2020: several labels a text, as numbers between commas
    Benchmark(
        name="GoEmotions",
        kind="multi-label",
        columns=Columns(text=0, label=1, header=False),
        metric_names=None,
        test=_TEST,
        classes=_EMOTIONS,
        hub=HubLayout(
            name="google-research-datasets/go_emotions:simplified", columns=Columns(label="labels"), classes=_EMOTIONS
        ),
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
        kind="regression",
        test=_TEST,
    ),
    # Rajpurkar et al. 2016 and 2018
    Benchmark(
        name="SQuAD-1.1",
        kind="span-extraction",
        columns=_SQUAD,
        metric_names=None,
        train=Split(file="train-v1.1.json"),
        dev=Split(file="dev-v1.1.json"),
    ),
    Benchmark(
        name="SQuAD-2.0",
        kind="span-extraction",
        columns=_SQUAD,
        metric_names=None,
        train=Split(file="train-v2.0.json"),
        dev=Split(file="dev-v2.0.json"),
    ),
    # Zellers et al. 2018
    Benchmark(
        name="SWAG",
        kind="multiple-choice",
        columns=Columns(text="sent1", text_pair="sent2", choices=tuple(f"ending{place}" for place in range(4))),
        train=Split(file="train.csv"),
        dev=Split(file="val.csv"),
    ),
    # Clark et al. 2018
    Benchmark(
        name="ARC-easy",
        kind="multiple-choice",
        columns=_ARC,
        train=Split(file="easy_train.csv"),
        dev=Split(file="easy_validation.csv"),
    ),
    Benchmark(
        name="ARC-challenge",
        kind="multiple-choice",
        columns=_ARC,
        train=Split(file="challenge_train.csv"),
        dev=Split(file="challenge_validation.csv"),
    ),
    # Tjong Kim Sang and De Meulder 2003
    Benchmark(
        name="CoNLL-2003",
        kind="tagging",
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
