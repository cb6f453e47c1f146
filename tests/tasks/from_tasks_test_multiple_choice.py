import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score
from torch.nn import functional as F

from bertkit.foundation.errors import InputError
from bertkit.tasks.choice_question import ChoiceQuestion, ChoiceQuestions
from bertkit.tasks.instances import TaskInstances
from bertkit.tasks.multiple_choice import MultipleChoice
from bertkit.tasks.prediction import ChoicePrediction
from bertkit.text.encoded_example import EncodedExample
from bertkit.text.tokenizer import Tokenizer

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
    assert TASK.metrics(logits, instances) == {"accuracy": pytest.approx(accuracy_score(right, best))}
    assert int(TASK.correct(logits, torch.tensor(right), bounds)) == sum(np.equal(right, best))
    for prediction, row, place in zip(TASK.decode(logits, instances), rows, best, strict=True):
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
