import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score
from torch.nn import functional as F

from bertkit.core.errors import InputError
from bertkit.tasks.benchmarks import find_benchmark
from bertkit.tasks.choice import ChoiceQuestion, ChoiceQuestions, MultipleChoice, read_choices
from bertkit.tasks.contract import TaskInstances
from bertkit.tasks.options import Columns
from bertkit.tasks.predictions import ChoicePrediction
from bertkit.text.sequences import EncodedExample
from bertkit.text.tokenizer import Tokenizer

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


def test_a_duplicate_choice_is_counted(tmp_path: Path):
    path = _lines(tmp_path / "own.jsonl", {"choices": ["a", "a"], "label": 0}, {"choices": ["a", "b"], "label": 0})
    assert "1 questions have a choice twice" in read_choices(path, LISTS).warnings[0]


def test_columns_of_choices_are_needed(tmp_path: Path):
    with pytest.raises(InputError, match="--choices"):
        read_choices(tmp_path / "own.csv", Columns())


TASK = MultipleChoice(max_length=12)
SCORES = st.lists(
    st.tuples(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=2, max_size=5), st.integers(0, 4)),
    min_size=1,
    max_size=6,
)


def _instances(counts: list[int], right: list[int]) -> TaskInstances[ChoiceQuestions]:
    items = [
        ChoiceQuestion(question="q", choices=tuple(map(str, range(count))), right=place, place="row")
        for count, place in zip(counts, right, strict=True)
    ]
    empty = EncodedExample(np.zeros(2, np.int32), np.zeros(2, np.int8), np.zeros((2, 2), np.int32))
    return TaskInstances(
        examples=ChoiceQuestions(tuple(items)),
        sequences=[empty] * sum(counts),
        owners=np.arange(len(counts)),
        bounds=np.concatenate([[0], np.cumsum(counts)]),
        targets=torch.tensor(right),
    )


@given(scores=SCORES)
def test_each_question_has_a_softmax_over_its_own_choices(scores: list[tuple[list[float], int]]):
    counts = [len(row) for row, _ in scores]
    right = [place % len(row) for row, place in scores]
    instances = _instances(counts, right)
    logits = torch.tensor([[score] for row, _ in scores for score in row])
    rows = [torch.tensor(row) for row, _ in scores]
    bounds = torch.from_numpy(instances.row_bounds)
    expected = sum(F.cross_entropy(row, torch.tensor(place)) for row, place in zip(rows, right, strict=True))
    assert float(TASK.loss(logits, torch.tensor(right), bounds)) == pytest.approx(float(expected), abs=1e-5)
    best = [int(row.argmax()) for row in rows]
    assert TASK.scorer.scores(logits, instances) == {"accuracy": pytest.approx(accuracy_score(right, best))}
    assert int(TASK.scorer.correct(logits, torch.tensor(right), bounds)) == sum(np.equal(right, best))
    for prediction, row, place in zip(TASK.decode(logits.numpy(), instances), rows, best, strict=True):
        assert isinstance(prediction, ChoicePrediction)
        assert (prediction.place, prediction.choice) == (place, str(place))
        assert prediction.probabilities == pytest.approx(row.softmax(-1).tolist())


def test_a_question_is_a_sequence_for_each_of_its_choices(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "who", "one", "two", "three"]) + "\n")
    tokenizer = Tokenizer.from_pretrained(path, lowercase=True)
    examples = TASK.examples([("who", ["one", "two", "three"]), ("who who", ["one", "two"])])
    instances = TASK.encode(examples, tokenizer, labelled=False)
    assert instances.bounds.tolist() == [0, 3, 5]
    decoded = [tokenizer.decode(one.input_ids, skip_special_tokens=False) for one in instances.sequences]
    assert decoded[1] == "[CLS] who [SEP] two [SEP]"
    assert decoded[3] == "[CLS] who who [SEP] one [SEP]"


@pytest.mark.parametrize("given", ["text", ("question", "choice"), ("question",), (1, ["a", "b"]), ("q", ["a", 3])])
def test_what_is_no_question_with_choices_is_named(given):
    with pytest.raises(InputError, match="text 1 is"):
        TASK.examples([("who", ["one", "two"]), given])


def test_one_choice_is_too_few():
    with pytest.raises(InputError, match="text 0 has the choices"):
        TASK.examples([("who", ["one"])])


def test_a_tuple_is_one_question():
    assert TASK.is_one(("who", ["one", "two"]))
    assert not TASK.is_one([("who", ["one", "two"])])
