import json
from pathlib import Path
from typing import Any

import pytest

from bertkit.foundation.errors import InputError
from bertkit.tasks.benchmarks import find_benchmark
from bertkit.tasks.choice_files import read_choices
from bertkit.tasks.columns import Columns

LISTS = Columns(text="question", choices=("choices",))
COLUMNS = Columns(text="q", choices=("a", "b", "c"))


def _lines(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("\n".join(json.dumps({"question": "what", **record}) for record in records))
    return path


def test_the_swag_sample_is_read_with_the_start_of_its_endings(shared_data: Path):
    path = shared_data / "multiple_choice" / "swag_sample" / "sample.csv"
    questions = read_choices(path, find_benchmark("swag").columns)
    assert len(questions) == 10
    first = questions.items[0]
    assert first.question.startswith("Members of the procession")
    assert first.choices[0] == "A drum line passes by walking down the street playing their instruments."
    assert first.right == 0


def test_arc_is_read_by_its_places(shared_data: Path):
    data = find_benchmark("arc-easy").data(shared_data / "multiple_choice" / "arc")
    assert data.dev is not None
    assert (len(data.train), len(data.dev)) == (2142, 548)
    assert {len(question.choices) for question in data.train.items} == {4}  # type: ignore[attr-defined]


def test_rows_may_have_different_numbers_of_choices(tmp_path: Path):
    path = tmp_path / "own.csv"
    path.write_text("q,a,b,c,label\nwho,one,two,three,2\nwhat,four,five,,1\n")
    first, second = read_choices(path, COLUMNS).items
    assert (first.choices, first.right) == (("one", "two", "three"), 2)
    assert (second.choices, second.right) == (("four", "five"), 1)
    assert second.place == f"{path}, row 3"


@pytest.mark.parametrize(
    ("choices", "label", "right"),
    [
        (["no", "yes"], 1, 1),
        (["no", "yes"], "1", 1),
        (["no", "yes"], 1.0, 1),
        (["no", "yes"], "yes", 1),
        (["no", "yes"], "B", 1),
        (["5", "1"], "1", 1),
        (["1", "0"], "0", 0),
        (["7", "8"], "8", 1),
        ('["no", "yes"]', "yes", 1),
        ({"text": ["no", "yes"], "label": ["A", "B"]}, "B", 1),
        ({"text": ["no", "yes"], "label": ["1", "2"]}, "2", 1),
    ],
)
def test_labels_are_places_letters_or_texts(tmp_path: Path, choices: Any, label: Any, right: int):
    path = _lines(tmp_path / "own.jsonl", {"choices": choices, "label": label})
    (question,) = read_choices(path, LISTS).items
    assert question.right == right


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"choices": ["no", "yes"], "label": 2}, "label 2 is none of the 2 choices"),
        ({"choices": ["no", "yes"], "label": None}, "label None is none of the 2 choices"),
        ({"choices": ["no", "yes"], "label": ""}, "label '' is none of the 2 choices"),
        ({"choices": ["no"], "label": 0}, "give at least 2 texts"),
        ({"choices": ["no", "", "yes"], "label": 0}, "give at least 2 texts"),
        ({"choices": "no", "label": 0}, "give a list of texts"),
        ({"choices": {"text": ["a", "b"], "label": ["A"]}, "label": "A"}, "give a list of texts"),
        ({"choices": ["no", "yes"], "label": 0, "question": " "}, "column 'question' holds ' ' and no text"),
        ({"choices": ["no", "yes"]}, "no column 'label'"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, record: dict[str, Any], message: str):
    path = _lines(tmp_path / "own.jsonl", {"choices": ["a", "b"], "label": 0}, record)
    with pytest.raises(InputError, match=f"row 2.*{message}"):
        read_choices(path, LISTS)


def test_unlabelled_rows_are_read_for_prediction(tmp_path: Path):
    path = _lines(tmp_path / "own.jsonl", {"choices": ["a", "b"]})
    assert read_choices(path, LISTS, labelled=False).items[0].right is None


def test_a_choice_that_stands_twice_is_counted(tmp_path: Path):
    path = _lines(tmp_path / "own.jsonl", {"choices": ["a", "a"], "label": 0}, {"choices": ["a", "b"], "label": 0})
    assert "1 questions have a choice twice" in read_choices(path, LISTS).remarks[0]


def test_columns_of_choices_are_needed(tmp_path: Path):
    with pytest.raises(InputError, match="--choices"):
        read_choices(tmp_path / "own.csv", Columns())
