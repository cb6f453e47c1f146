"""Questions with choices from tables."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from bertkit.data.tables import Table, TableSource, read_table
from bertkit.foundation.errors import InputError
from bertkit.tasks.choice_question import ChoiceQuestion, ChoiceQuestions
from bertkit.tasks.columns import Columns

Names = Sequence[Any]
"""What a label may call a question's choices: their own labels, else their texts."""
_LETTERS = string.ascii_uppercase


def read_choices(
    source: TableSource,
    columns: Columns,
    *,
    split: str = "train",
    where: tuple[str, str] | None = None,
    labelled: bool = True,
) -> ChoiceQuestions:
    """Read a table with a column a choice, or one column of lists (also as JSON), whose number may differ by row.

    Empty cells behind the last choice are none. The text pair, if there is one, is how every choice begins. Labels are
    places from 0 if most of the file's can be, else letters from A, the right choices' texts, or their labels where a
    cell holds {"text": [...], "label": [...]}. Raises `InputError`.
    """
    if not columns.choices:
        raise InputError("multiple choice needs columns: give --choices, a column each or one column of lists")
    pair = () if columns.text_pair is None else (columns.text_pair,)
    label = (columns.label,) if labelled else ()
    condition = () if where is None else (where[0],)
    names = list(dict.fromkeys([columns.text, *pair, *columns.choices, *label, *condition]))
    table = read_table(
        source, columns=names, header=columns.header, encoding_errors=columns.encoding_errors, split=split
    )
    rows = [index for index in range(len(table)) if where is None or table.columns[where[0]][index] == where[1]]
    if not rows:
        raise InputError(f"{source} has no row whose {where} is as asked for: check the file")
    questions = [_question(table, index, columns) for index in rows]
    if labelled:
        labels = [table.columns[columns.label][index] for index in rows]
        found_places = [_place(label, question) for label, (question, _) in zip(labels, questions, strict=True)]
        are_places = 2 * sum(place is not None for place in found_places) >= len(labels)
        questions = [
            (replace(question, right=_right(label, question, None if are_places else names)), names)
            for label, (question, names) in zip(labels, questions, strict=True)
        ]
    found = [question for question, _ in questions]
    return ChoiceQuestions(tuple(found), table.remarks + _remarks(found))


def _question(table: Table, index: int, columns: Columns) -> tuple[ChoiceQuestion, Names]:
    place = table.place(index)
    question = _text(table.columns[columns.text][index], columns.text, place)
    begin = (
        "" if columns.text_pair is None else _text(table.columns[columns.text_pair][index], columns.text_pair, place)
    )
    cells = [table.columns[column][index] for column in columns.choices]
    texts, names = _listed(cells[0], place) if len(cells) == 1 else (cells, None)
    while texts and texts[-1] in (None, ""):
        texts = texts[:-1]
    if len(texts) < 2 or not all(isinstance(text, str) and text for text in texts):
        raise InputError(f"{place} has the choices {texts!r}: give at least 2 texts")
    choices = tuple(f"{begin} {text}" if begin else text for text in texts)
    return ChoiceQuestion(question=question, choices=choices, right=None, place=place), names or texts


def _text(cell: Any, column: str | int, place: str) -> str:
    if not isinstance(cell, str) or not cell.strip():
        raise InputError(f"{place}: column {column!r} holds {cell!r} and no text: mend the row")
    return cell


def _listed(cell: Any, place: str) -> tuple[Sequence[Any], Sequence[Any] | None]:
    """The texts of one cell, and their labels where it names them."""
    if isinstance(cell, str):
        with suppress(json.JSONDecodeError):
            cell = json.loads(cell)
    if isinstance(cell, dict) and isinstance(cell.get("text"), list) and isinstance(cell.get("label"), list):
        if len(cell["text"]) == len(cell["label"]):
            return cell["text"], cell["label"]
    elif isinstance(cell, list):
        return cell, None
    raise InputError(f"{place}: {cell!r} are no choices: give a list of texts")


def _place(label: Any, question: ChoiceQuestion) -> int | None:
    """The place that a label gives as a number."""
    if isinstance(label, str) and label.strip().isdecimal():
        label = int(label)
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    return label if isinstance(label, int) and 0 <= label < len(question.choices) else None


def _right(label: Any, question: ChoiceQuestion, names: Names | None) -> int:
    """By place where `names` is None, else by name or letter."""
    place = _place(label, question) if names is None else None
    if names is not None and label in names:
        place = list(names).index(label)
    elif names is not None and isinstance(label, str) and label in list(_LETTERS[: len(names)]):
        place = _LETTERS.index(label)
    if place is None:
        raise InputError(
            f"{question.place}: label {label!r} is none of the {len(question.choices)} choices: give its place from 0, "
            "or in the whole file its letter or its text"
        )
    return place


def _remarks(questions: Sequence[ChoiceQuestion]) -> tuple[str, ...]:
    twice = [question for question in questions if len(set(question.choices)) < len(question.choices)]
    if not twice:
        return ()
    return (f"{len(twice):,} questions have a choice twice (the first: {twice[0].place})",)
