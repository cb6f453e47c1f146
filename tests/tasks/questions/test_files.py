import json
from pathlib import Path
from typing import Any

import pytest

from bertkit.core.errors import InputError
from bertkit.tasks.options import TableOptions
from bertkit.tasks.questions.files import Answer, find_answer, read_questions
from bertkit.tasks.questions.task import SpanExtraction

COLUMNS = SpanExtraction.usual_columns
CONTEXT = "The fox saw a fox."


def _squad(path: Path, *questions: dict[str, Any], context: str = CONTEXT) -> Path:
    qas = [{"id": f"q{number}", "question": "What?", **question} for number, question in enumerate(questions)]
    path.write_text(json.dumps({"version": "1.1", "data": [{"paragraphs": [{"context": context, "qas": qas}]}]}))
    return path


def test_squad_files_are_read(tmp_path: Path):
    path = _squad(
        tmp_path / "dev.json",
        {"answers": [{"text": "fox", "answer_start": 14}, {"text": "The fox", "answer_start": 0}]},
        {"answers": [], "is_impossible": True, "plausible_answers": [{"text": "fox", "answer_start": 4}]},
    )
    questions = read_questions(path, COLUMNS)
    first, second = questions.items
    assert first.answers == (Answer("fox", 14), Answer("The fox", 0))
    assert second.answers == ()
    assert (first.context, first.question, first.id) == (CONTEXT, "What?", "q0")
    assert questions.place(1) == f"{path}, question q1"
    assert questions.warnings == ()


def test_what_is_odd_is_counted_and_kept(tmp_path: Path):
    path = _squad(
        tmp_path / "dev.json",
        {"answers": [{"text": "fox", "answer_start": 13}]},
        {"answers": [{"text": "wolf", "answer_start": 3}]},
        {"answers": [{"text": "wolf", "answer_start": 3}], "id": "q0"},
    )
    questions = read_questions(path, COLUMNS)
    assert [question.answers for question in questions.items] == [
        (Answer("fox", 14),),
        (Answer("wolf", None),),
        (Answer("wolf", None),),
    ]
    moved, lost, twice = questions.warnings
    assert "1 answers do not stand" in moved
    assert "2 answers are not in their context" in lost
    assert "'wolf'" in lost
    assert "2 questions have an id that another one has" in twice


def test_an_empty_context_is_counted(tmp_path: Path):
    path = _squad(tmp_path / "dev.json", {"answers": []}, context="")
    assert "1 questions have an empty context" in read_questions(path, COLUMNS).warnings[0]


@pytest.mark.parametrize(
    ("cell", "answers"),
    [
        ("fox", (Answer("fox", 4),)),
        (["fox", "a fox"], (Answer("fox", 4), Answer("a fox", 12))),
        ([{"text": "fox", "answer_start": 14}], (Answer("fox", 14),)),
        ({"text": ["fox"], "answer_start": [14]}, (Answer("fox", 14),)),
        ('{"text": ["fox"], "answer_start": [14]}', (Answer("fox", 14),)),
        ([{"text": "fox"}], (Answer("fox", 4),)),
        ({"text": ["fox"]}, (Answer("fox", 4),)),
        ({"text": [], "answer_start": []}, ()),
        ("[fox]", (Answer("[fox]", None),)),
        ([], ()),
        (None, ()),
        ("", ()),
    ],
)
def test_answers_of_a_table_are_written_in_many_ways(tmp_path: Path, cell: Any, answers: tuple[Answer, ...]):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"question": "What?", "context": CONTEXT, "answers": cell}) + "\n")
    assert read_questions(path, COLUMNS).items[0].answers == answers


@pytest.mark.parametrize(
    "cell", [3, [3], {"text": "fox"}, {"text": ["a", "b"], "answer_start": [1]}, [{"answer_start": 1}]]
)
def test_what_are_no_answers_is_named_with_its_row(tmp_path: Path, cell: Any):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"question": "What?", "context": CONTEXT, "answers": cell}) + "\n")
    with pytest.raises(InputError, match=r"row 1.*no answers"):
        read_questions(path, COLUMNS)


def test_a_csv_has_one_answer_a_row(tmp_path: Path):
    path = tmp_path / "own.csv"
    path.write_text("q,text,a\nWhat?,The fox,fox\nWho?,The fox,\n")
    questions = read_questions(path, COLUMNS.changed(TableOptions(text="q", text_pair="text", label="a")))
    assert [len(question.answers) for question in questions.items] == [1, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"data": [', "not valid JSON"),
        ('{"data": []}', "has no questions"),
        ('{"data": [{"title": "x"}]}', "not in SQuAD's layout"),
        ('{"data": [{"paragraphs": [{"context": "x", "qas": [{"id": "7", "question": "?"}]}]}]}', "7 has no answers"),
        ("[1, 2]", "not in SQuAD's layout"),
        ('{"data": [{"paragraphs": [{"context": 1, "qas": [{"id": "7", "question": "?"}]}]}]}', "no text"),
        ('{"data": [{"paragraphs": [{"context": "", "qas": [{"id": "7", "question": null}]}]}]}', "no text"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, content: str, message: str):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_questions(tmp_path / "x.json", COLUMNS)


def test_an_unlabelled_file_is_read_for_prediction(tmp_path: Path):
    path = _squad(tmp_path / "test.json", {})
    assert len(read_questions(path, COLUMNS, labelled=False)) == 1


def test_an_answer_is_found_at_the_place_next_to_the_one_given():
    text = "fox " * 5
    assert find_answer(text, "fox", 9) == Answer("fox", 8)
    assert find_answer(text, "fox", 11) == Answer("fox", 12)
    assert find_answer(text, "fox", -40) == Answer("fox", 0)
    assert find_answer(text, "fox", 400) == Answer("fox", 16)
    assert find_answer(text, "", 0) == Answer("", None)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"text": None, "answer_start": 0}, "the answer None is no text"),
        ({"text": "fox", "answer_start": "4"}, "answer_start '4' is no whole number: mend it, or leave it out"),
        ({"answer_start": 4}, "no answers: give a text"),
        (7, "no answers: give a text"),
    ],
)
def test_a_bad_answer_is_named_in_json_as_in_a_table(tmp_path: Path, answer: Any, message: str):
    path = _squad(tmp_path / "dev.json", {"answers": [answer]})
    with pytest.raises(InputError, match=rf"dev\.json, question q0: .*{message}"):
        read_questions(path, COLUMNS)
    own = tmp_path / "own.jsonl"
    own.write_text(json.dumps({"question": "What?", "context": CONTEXT, "answers": [answer]}) + "\n")
    with pytest.raises(InputError, match=rf"own\.jsonl, row 1: .*{message}"):
        read_questions(own, COLUMNS)


def test_an_answer_of_json_without_its_place_is_searched_for(tmp_path: Path):
    path = _squad(tmp_path / "dev.json", {"answers": [{"text": "fox"}, {"text": "fox", "answer_start": 14}]})
    questions = read_questions(path, COLUMNS)
    assert questions.items[0].answers == (Answer("fox", 4), Answer("fox", 14))
    assert questions.warnings == ()
