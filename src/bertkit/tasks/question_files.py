"""Questions from SQuAD's JSON and from tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bertkit.data.tables import Table, TableSource, read_table
from bertkit.data.text_stream import text_blocks
from bertkit.foundation.errors import InputError
from bertkit.tasks.columns import Columns
from bertkit.tasks.question import Answer, Question, Questions, find_answer

_Given = tuple[str, int | None]
"""An answer and the place where its file says that it starts."""


def read_questions(
    source: TableSource,
    columns: Columns,
    *,
    split: str = "train",
    where: tuple[str, str] | None = None,
    labelled: bool = True,
) -> Questions:
    """Read SQuAD's JSON (1.1 or 2.0), or a table whose columns hold question, context and answers.

    In a table the answers are a text, a list of texts, a list of {"text", "answer_start"} or {"text": [...],
    "answer_start": [...]}, each also written as JSON; none at all means that the context has no answer. Raises
    `InputError` for a file without answers if `labelled`.
    """
    content = None if isinstance(source, Table) else _squad_json(source)
    if content is not None:
        found = list(_squad_questions(content, str(source), labelled=labelled))
    else:
        found = list(_table_questions(source, columns, split=split, where=where, labelled=labelled))
    if not found:
        raise InputError(f"{source} has no questions: check the file")
    questions = [question for question, _ in found]
    remarks = _remarks(questions, [given for _, given in found])
    if labelled and not any(question.answers for question in questions):
        remarks = (*remarks, f"none of {len(questions):,} questions has an answer: is {source} a file without labels?")
    return Questions(tuple(questions), remarks)


def is_squad_file(path: Path) -> bool:
    """Whether a file is in SQuAD's layout; `InputError` where it is JSON of some other kind."""
    return _squad_json(path) is not None


def _squad_json(source: str | Path) -> Any | None:
    """The articles of a JSON file in SQuAD's layout, None of another file."""
    path = Path(source).expanduser()
    if ".json" not in path.suffixes or not path.is_file():
        return None
    try:
        content = json.loads("".join(text_blocks(path, "strict", lambda count: None)))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # an object a line
            return None
        raise InputError(f"{path} is not valid JSON ({error}): fetch it again") from None
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        return content["data"]
    if isinstance(content, dict) and "paragraphs" not in content:  # a table of one line
        return None
    raise InputError(f'{path} is not in SQuAD\'s layout: give {{"data": [{{"paragraphs": [...]}}]}}, or a table')


def _squad_questions(articles: Any, source: str, *, labelled: bool) -> Iterator[tuple[Question, Sequence[_Given]]]:
    place = source
    try:
        for article in articles:
            for paragraph in article["paragraphs"]:
                context = paragraph["context"]
                for item in paragraph["qas"]:
                    if not isinstance(context, str) or not isinstance(item["question"], str):
                        raise TypeError("a question or a context is no text")
                    place = f"{source}, question {item['id']}"
                    given = [(answer["text"], answer["answer_start"]) for answer in item.get("answers", ())]
                    if labelled and "answers" not in item:
                        raise InputError(f"{place} has no answers: give a labelled file")
                    if item.get("is_impossible"):
                        given = []
                    yield _question(str(item["id"]), item["question"], context, given, place), given
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{place}: not in SQuAD's layout ({error!r}): mend the file") from None


def _table_questions(
    source: TableSource, columns: Columns, *, split: str, where: tuple[str, str] | None, labelled: bool
) -> Iterator[tuple[Question, Sequence[_Given]]]:
    context = columns.text_pair
    if context is None:
        raise InputError("questions need two columns: give --text for the question and --text-pair for the context")
    names = [columns.text, context, *([columns.label] if labelled else []), *([where[0]] if where else [])]
    table = read_table(source, columns=names, header=columns.header, split=split)
    for index in range(len(table)):
        if where is not None and table.columns[where[0]][index] != where[1]:
            continue
        place = table.place(index)
        for name in (columns.text, context):
            if not isinstance(text := table.columns[name][index], str):
                raise InputError(f"{place}: column {name!r} holds {text!r} and no text: mend the row")
        given = _given(table.columns[columns.label][index], place) if labelled else []
        question, text = table.columns[columns.text][index], table.columns[context][index]
        yield _question(str(table.origins[index][1]), question, text, given, place), given


def _question(id_: str, question: str, context: str, given: Sequence[_Given], place: str) -> Question:
    answers = tuple(find_answer(context, text, start) for text, start in given)
    return Question(id=id_, question=question, context=context, answers=answers, place=place)


def _given(cell: Any, place: str) -> list[_Given]:
    if isinstance(cell, str) and cell.lstrip()[:1] in ("[", "{"):
        with suppress(json.JSONDecodeError):  # a text may happen to start so
            cell = json.loads(cell)
    if cell is None or cell == "":
        return []
    if isinstance(cell, str):
        return [(cell, None)]
    try:
        if isinstance(cell, dict):
            return _checked(list(zip(cell["text"], cell["answer_start"], strict=True)))
        if isinstance(cell, list):
            return _checked(
                [(one, None) if isinstance(one, str) else (one["text"], one["answer_start"]) for one in cell]
            )
    except (KeyError, TypeError, ValueError):
        pass
    raise InputError(f"{place}: {cell!r} are no answers: give a text, or a list of texts")


def _checked(given: list[Any]) -> list[_Given]:
    if not all(isinstance(text, str) and (start is None or isinstance(start, int)) for text, start in given):
        raise TypeError
    return given


def _remarks(questions: Sequence[Question], given: Sequence[Sequence[_Given]]) -> tuple[str, ...]:
    moved, lost, empty, twice = [], [], [], []
    ids = Counter(question.id for question in questions)
    for question, theirs in zip(questions, given, strict=True):
        for answer, (_, start) in zip(question.answers, theirs, strict=True):
            if answer.start is None:
                lost.append((question, answer))
            elif start is not None and start != answer.start:
                moved.append((question, answer))
        if not question.context.strip():
            empty.append((question, None))
        if ids[question.id] > 1:
            twice.append((question, None))
    return tuple(
        f"{len(found):,} {text} (the first: {_described(*found[0])})"
        for found, text in (
            (moved, "answers do not stand where answer_start says: the nearest place was taken"),
            (lost, "answers are not in their context: not trained on, but scored"),
            (empty, "questions have an empty context"),
            (twice, "questions have an id that another one has: each is scored on its own"),
        )
        if found
    )


def _described(question: Question, answer: Answer | None) -> str:
    return question.place if answer is None else f"{question.place}, {answer.text[:40]!r}"
