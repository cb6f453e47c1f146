"""Labelled tables for the gallery, made from the demo's corpus: every label stands in the text or comes with it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]

_PACKAGES = ("email", "tkinter")
_GRID_ROWS, _CHOICE_ROWS, _QUESTION_ROWS, _TAGGED_ROWS, _LENGTH_ROWS = 480, 500, 1800, 1500, 2500
_DEV_SHARE = 0.15
_MAX_CHARACTERS = 240

_NAMES = {
    "EXCEPTION": re.compile(r"\b[A-Z][A-Za-z]*(?:Error|Exception|Warning|Interrupt|Exit)\b"),
    "CONSTANT": re.compile(r"\b(?:None|True|False|NotImplemented|Ellipsis)\b"),
    "CALL": re.compile(r"\b[\w.]*\w\(\)"),
    "DUNDER": re.compile(r"\b__\w+__\b(?!\()"),
}
_QUESTIONS = {
    "Which exception is raised?": _NAMES["EXCEPTION"],
    "What does it return?": re.compile(
        r"\b[Rr]eturns? ((?:the |a |an )?[\w'\"-]+(?: [\w'\"-]+){0,4}?)"
        r"(?= (?:if|of|for|in|from|when|that|with)\b|[.,;:])"
    ),
    "What is the default?": re.compile(r"\bdefaults? (?:value )?(?:is|to) ((?:the )?[\w'\".]*\w['\"]?)"),
}
_ASKED = {
    "Which exception is raised?": "Which one names an exception?",
    "What does it return?": "Which one says what is returned?",
    "What is the default?": "Which one gives a default?",
}


def write_tables(corpus: Path, folder: Path) -> None:
    """Write `NAME-train.jsonl` and `NAME-dev.jsonl` of every kind into `folder`; `corpus` is that of `bertkit demo`."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = [part.split("\n") for part in (corpus / "pretraining.txt").read_text("utf-8").strip().split("\n\n")]
    sentences = sorted({line for document in documents for line in document if 20 < len(line) <= _MAX_CHARACTERS})
    labelled = {part: _rows(corpus / f"{part}.jsonl") for part in ("train", "test")}
    tables = {
        "lengths": _split(_lengths(sentences), _LENGTH_ROWS),
        "names": _split(_named(sentences), _TAGGED_ROWS),
        "mentions": _split(_mentions(sentences), _TAGGED_ROWS),
        "questions": _split(_questions(documents), _QUESTION_ROWS),
        "choices": _split(_choices(sentences), _CHOICE_ROWS),
        "packages": (_of_packages(labelled["train"])[:_GRID_ROWS], _of_packages(labelled["test"])[: _GRID_ROWS // 3]),
    }
    for name, (train, dev) in tables.items():
        _write(folder / f"{name}-train.jsonl", train)
        _write(folder / f"{name}-dev.jsonl", dev)


def _lengths(sentences: Sequence[str]) -> Iterator[Row]:
    for sentence in sentences:
        yield {"text": sentence, "words": len(sentence.split())}


def _named(sentences: Sequence[str]) -> Iterator[Row]:
    for sentence in sentences:
        spans = [
            {"start": match.start(), "end": match.end(), "label": label}
            for label, pattern in _NAMES.items()
            for match in pattern.finditer(sentence)
        ]
        if spans:
            yield {"text": sentence, "spans": sorted(spans, key=lambda span: span["start"])}


def _mentions(sentences: Sequence[str]) -> Iterator[Row]:
    """What a sentence names; one in three of those that name nothing stays."""
    for number, sentence in enumerate(sentences):
        labels = [label.lower() for label, pattern in _NAMES.items() if pattern.search(sentence)]
        if labels or number % 3 == 0:
            yield {"text": sentence, "labels": labels}


def _questions(documents: Sequence[Sequence[str]]) -> Iterator[Row]:
    """Three sentences and a question about them; where several parts would answer, all are right."""
    for document in documents:
        for first in range(0, len(document) - 2, 3):
            context = " ".join(document[first : first + 3])
            if len(context) > 2 * _MAX_CHARACTERS:
                continue
            answered = {question: _answers(pattern, context) for question, pattern in _QUESTIONS.items()}
            for number, (question, answers) in enumerate(answered.items()):
                # One context in thirty without an answer is asked all the same.
                if answers or (first // 3 + number) % 30 == 0:
                    yield {"question": question, "context": context, "answers": answers}


def _answers(pattern: re.Pattern[str], context: str) -> list[Row]:
    group = pattern.groups
    return [{"text": match[group], "answer_start": match.start(group)} for match in pattern.finditer(context)]


def _choices(sentences: Sequence[str]) -> Iterator[Row]:
    """One sentence of the asked kind among three of other kinds."""
    kinds: dict[str, list[str]] = {question: [] for question in (*_ASKED.values(), "")}
    for sentence in sentences:
        found = [asked for question, asked in _ASKED.items() if _QUESTIONS[question].search(sentence)]
        if len(found) < 2:
            kinds[found[0] if found else ""].append(sentence)
    draws = random.Random(0)
    for _ in range(_CHOICE_ROWS):
        question = draws.choice(list(_ASKED.values()))
        others = [kind for kind in kinds if kind != question]
        choices = [draws.choice(kinds[kind]) for kind in others]
        place = draws.randrange(len(choices) + 1)
        choices.insert(place, draws.choice(kinds[question]))
        yield {"question": question, "choices": choices, "answer": place}


def _of_packages(rows: Sequence[Row]) -> list[Row]:
    kept = [{"text": row["text"], "label": row["label"]} for row in rows if row["label"] in _PACKAGES]
    random.Random(0).shuffle(kept)
    return kept


def _split(rows: Iterable[Row], count: int) -> tuple[list[Row], list[Row]]:
    drawn = list(rows)
    random.Random(0).shuffle(drawn)
    num_dev = int(min(count, len(drawn)) * _DEV_SHARE)
    return drawn[num_dev:count], drawn[:num_dev]


def _rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _write(path: Path, rows: Iterable[Row]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
