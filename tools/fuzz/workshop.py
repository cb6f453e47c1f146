"""What the cases start from: tiny models of every kind, corpora, tables and runs, made once in seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

WORDS = (
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "dog",
    "ran",
    "far",
    "film",
    "was",
    "good",
    "bad",
    "Anna",
    "Oslo",
)
_TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 48,
}


def build(folder: Path) -> None:
    """Fill an empty folder; every name in it is one that `templates` speaks of."""
    _texts(folder)
    _tables(folder)
    _models(folder)
    _runs(folder)


def _texts(folder: Path) -> None:
    lines = [" ".join(WORDS[(number + step * 3) % len(WORDS)] for step in range(5)) for number in range(40)]
    (folder / "corpus.txt").write_text(
        "\n".join(line if number % 5 else "" for number, line in enumerate(lines)) + "\n"
    )
    (folder / "lines.txt").write_text("\n".join(lines[:6]) + "\n")
    (folder / "masked.txt").write_text("the cat sat on the [MASK]\na [MASK] ran\n")
    (folder / "options.yaml").write_text("max-length: 16\nprecision: float32\n")
    (folder / "training.yaml").write_text("epochs: 1\nbatch-size: 4\nseeds: 1\nlearning-rate: 0.001\n")
    (folder / "pretraining.yaml").write_text("steps: 1\nbatch-size: 4\nseq-length: 16\nseed: 3\n")


def _tables(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "id": number,
            "text": f"the film was {'good' if number % 2 else 'bad'} and {WORDS[number]}",
            "label": number % 2,
        }
        for number in range(12)
    ]
    for name, mark in (("train.csv", ","), ("train.tsv", "\t")):
        cells = [["id", "text", "label"], *([str(value) for value in row.values()] for row in rows)]
        (folder / name).write_text("".join(mark.join(row) + "\n" for row in cells))
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet")
    scores = [f"{row['text']}\t{number / 4}" for number, row in enumerate(rows)]
    (folder / "scores.tsv").write_text("text\tlabel\n" + "".join(f"{line}\n" for line in scores))
    multi = [{"text": row["text"], "label": ["good", "far"][: number % 3]} for number, row in enumerate(rows)]
    (folder / "multi.jsonl").write_text("".join(json.dumps(row) + "\n" for row in multi))
    (folder / "tags.conll").write_text("Anna B-PER\nran O\nOslo B-LOC\n\nthe O\ncat O\n\n" * 4)
    questions = [
        {"id": f"q{number}", "question": "who sat", "answers": [{"text": "cat", "answer_start": 4}]}
        for number in range(6)
    ]
    paragraph = {"context": "the cat sat on the mat and the dog ran far", "qas": questions}
    squad = {"version": "1.1", "data": [{"title": "t", "paragraphs": [paragraph]}]}
    (folder / "squad.json").write_text(json.dumps(squad))
    choices = [
        {"question": "the cat", "choices": ["sat on", "film was", WORDS[number]], "label": number % 3}
        for number in range(8)
    ]
    (folder / "choices.jsonl").write_text("".join(json.dumps(row) + "\n" for row in choices))


def _models(folder: Path) -> None:
    from bertkit.model.config import BertConfig
    from bertkit.model.initialization import initialize
    from bertkit.model.pretraining import PretrainingModel
    from bertkit.pretrained.folder import write_model_folder
    from bertkit.tasks.choice import MultipleChoice
    from bertkit.tasks.classification import Classification
    from bertkit.tasks.model import new_task_model, save_task_model
    from bertkit.tasks.multi_label import MultiLabel
    from bertkit.tasks.questions.task import SpanExtraction
    from bertkit.tasks.regression import Regression
    from bertkit.tasks.tagging.task import Tagging
    from bertkit.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.train([" ".join(WORDS)] * 3, 120, min_frequency=1)
    tokenizer.save_pretrained(folder / "tokenizer")
    config = BertConfig(vocab_size=tokenizer.vocab_size, **_TINY)
    model = PretrainingModel(config)
    initialize(model, 0.2, 1)
    write_model_folder(folder / "model", model, config, architecture="BertForPreTraining")
    tokenizer.save_pretrained(folder / "model")
    tasks = {
        "classes": Classification(classes=("0", "1"), max_length=16),
        "labels": MultiLabel(classes=("far", "good"), max_length=16, columns=MultiLabel.usual_columns),
        "scorer": Regression(max_length=16),
        "tagger": Tagging(
            classes=("O", "B-PER", "I-PER", "B-LOC", "I-LOC"), max_length=16, columns=Tagging.usual_columns
        ),
        "answers": SpanExtraction(max_length=32, doc_stride=8, columns=SpanExtraction.usual_columns),
        "chooser": MultipleChoice(max_length=32, columns=MultipleChoice.usual_columns),
    }
    for name, task in tasks.items():
        task_model = new_task_model(task, config)
        initialize(task_model, 0.2, 2)
        save_task_model(folder / name, task_model, task, tokenizer)


def _runs(folder: Path) -> None:
    """What commands make, and what they find again."""
    import contextlib
    import os

    from bertkit.cli.main import run

    here = Path.cwd()
    os.chdir(folder)
    try:
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            for command in (
                ["prepare", "corpus.txt", "--tokenizer", "tokenizer", "--out", "data", "--workers", "1"],
                ["finetune", "model", "--train", "train.csv", "--epochs", "1", "--batch-size", "4", "--out", "tuned"],
                ["pretrain", "data", "--initial-model", "model", *PRETRAINING, "--out", "run"],
                ["convert", "model", "tf", "--to", "tensorflow"],
            ):
                if code := run(command):
                    raise SystemExit(f"the workshop's {' '.join(command)} ended with {code}")
    finally:
        os.chdir(here)
    for leftover in ("tuned/tensorboard", "run/tensorboard"):
        shutil.rmtree(folder / leftover, ignore_errors=True)


PRETRAINING = ("--steps", "2", "--batch-size", "4", "--seq-length", "16", "--no-nsp", "--checkpoint-every", "1")
