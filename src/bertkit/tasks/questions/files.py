"""Questions with their contexts and answers, read from SQuAD's JSON and from tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertkit.core.errors import InputError
from bertkit.data.readers.tables import Table, TableSource, read_table
from bertkit.data.readers.text import EncodingErrors, text_blocks
from bertkit.tasks.examples import Records
from bertkit.tasks.labelled import shortened
from bertkit.tasks.options import Columns


@dataclass(frozen=True, slots=True)
class Answer:
    """What answers the question, and where it starts in the context, None where it is not in there."""

    text: str
    start: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """With `context` and, where they are known, `answers`; one without any has no answer in the context."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...]
    place: str

    @property
    def marked_text(self) -> str:
        """The context."""
        return self.context

    def record(self) -> dict[str, Any]:
        """What a line of JSON shows."""
        return {"id": self.id, "question": self.question}


Questions = Records[Question]


def find_answer(context: str, text: str, start: int | None) -> Answer:
    """Where `text` is in the context: at `start`, else at the occurrence next to it."""
    if start is not None and start >= 0 and text and context.startswith(text, start):
        return Answer(text, start)
    if not text or (found := context.find(text)) < 0:
        return Answer(text, None)
    if start is not None:
        after, before = context.find(text, max(0, start)), context.rfind(text, 0, max(0, start) + len(text))
        found = min((place for place in (before, after) if place >= 0), key=lambda place: abs(place - start))
    return Answer(text, found)


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

    The answers are a text, a list of texts, a list of {"text", "answer_start"} or {"text": [...], "answer_start":
    [...]}, in a table each also written as JSON; where "answer_start" is left out the text is searched for. None at
    all means that the context has no answer. Raises `InputError` for a file without answers if `labelled`.
    """
    content = None if isinstance(source, Table) else _squad_json(source, columns.encoding_errors)
    warnings: tuple[str, ...] = ()
    if content is not None:
        found = list(_squad_questions(content, str(source), labelled=labelled))
    else:
        names = [*_text_columns(columns), *([columns.label] if labelled else []), *([where[0]] if where else [])]
        table = read_table(
            source, columns=names, header=columns.header, encoding_errors=columns.encoding_errors, split=split
        )
        warnings = table.warnings
        found = list(_table_questions(table, columns, where=where, labelled=labelled))
    if not found:
        raise InputError(f"{source} has no questions: check the file")
    questions = [question for question, _ in found]
    warnings += _warnings(questions, [given for _, given in found])
    if labelled and not any(question.answers for question in questions):
        warnings = (
            *warnings,
            f"none of {len(questions):,} questions has an answer: is {source} a file without labels?",
        )
    return Questions(tuple(questions), warnings)


def is_squad_file(path: Path) -> bool:
    """Whether a file is in SQuAD's layout; `InputError` where it is JSON of some other kind."""
    return _squad_json(path, "replace") is not None


def _squad_json(source: str | Path, encoding_errors: EncodingErrors) -> Any | None:
    """The articles of a JSON file in SQuAD's layout, None of another file."""
    path = Path(source).expanduser()
    if ".json" not in path.suffixes or not path.is_file():
        return None
    try:
        content = json.loads("".join(text_blocks(path, encoding_errors, lambda count: None)))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # an object a line
            return None
        raise InputError(f"{path} is not valid JSON ({error}): fetch it again") from None
    except (ValueError, RecursionError) as error:  # of endless numbers, and of lists that never end
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
                    if labelled and item.get("answers") is None:
                        raise InputError(f"{place} has no answers: give a labelled file")
                    given = [] if item.get("is_impossible") else _given(item.get("answers"), place)
                    yield _question(str(item["id"]), item["question"], context, given, place), given
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{place}: not in SQuAD's layout ({error!r}): mend the file") from None


def _table_questions(
    table: Table, columns: Columns, *, where: tuple[str, str] | None, labelled: bool
) -> Iterator[tuple[Question, Sequence[_Given]]]:
    names = _text_columns(columns)
    for index in range(len(table)):
        if where is not None and table.columns[where[0]][index] != where[1]:
            continue
        place = table.place(index)
        for name in names:
            if not isinstance(text := table.columns[name][index], str):
                raise InputError(f"{place}: column {name!r} holds {text!r} and no text: mend the row")
        given = _given(table.columns[columns.label][index], place) if labelled else []
        question, context = (table.columns[name][index] for name in names)
        yield _question(str(table.origins[index][1]), question, context, given, place), given


def _text_columns(columns: Columns) -> tuple[str | int, str | int]:
    if columns.text_pair is None:
        raise InputError("questions need two columns: give --text for the question and --text-pair for the context")
    return columns.text, columns.text_pair


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
    found: list[Any] | None = None
    with suppress(KeyError, TypeError, ValueError):
        if isinstance(cell, dict) and isinstance(cell["text"], list):
            starts = cell.get("answer_start")
            found = list(zip(cell["text"], [None] * len(cell["text"]) if starts is None else starts, strict=True))
        elif isinstance(cell, list):
            found = [(one, None) if isinstance(one, str) else (one["text"], one.get("answer_start")) for one in cell]
    if found is None:
        raise InputError(f"{place}: {shortened(cell)} are no answers: give a text, or a list of texts")
    for text, start in found:
        if not isinstance(text, str):
            raise InputError(f"{place}: the answer {shortened(text)} is no text: mend it")
        if start is not None and not isinstance(start, int):
            raise InputError(
                f"{place}: answer_start {shortened(start)} is no whole number: mend it, or leave it out for the answer "
                "to be searched for"
            )
    return found


def _warnings(questions: Sequence[Question], given: Sequence[Sequence[_Given]]) -> tuple[str, ...]:
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
