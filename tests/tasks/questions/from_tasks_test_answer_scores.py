"""Against the rules of SQuAD's two evaluation scripts, written down once more."""

import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit.tasks.answer_scores import normalize_answer, score_answer

WORDS = [
    "the",
    "The",
    "a",
    "an",
    "AN",
    "theory",
    "cat",
    "Cat",
    "cats",
    "1,000",
    "1000",
    "U.S.",
    "us",
    "-",
    "—",
    "é",
    "'s",
]
TEXTS = st.lists(st.sampled_from([*WORDS, " ", "\u00a0", "\t"]), max_size=6).map(" ".join) | st.text(max_size=12)


def official_normalize(text: str) -> str:
    text = "".join(character for character in text.lower() if character not in set(string.punctuation))
    text = re.compile(r"\b(a|an|the)\b", re.UNICODE).sub(" ", text)
    return " ".join(text.split())


def official_f1(prediction: str, truth: str, *, second: bool) -> float:
    gold, guess = official_normalize(truth).split(), official_normalize(prediction).split()
    same = sum((Counter(gold) & Counter(guess)).values())
    if second and (len(gold) == 0 or len(guess) == 0):
        return float(int(gold == guess))
    if same == 0:
        return 0.0
    precision, recall = 1.0 * same / len(guess), 1.0 * same / len(gold)
    return (2 * precision * recall) / (precision + recall)


def official(prediction: str, truths: list[str], *, second: bool) -> tuple[float, float]:
    if second:
        truths = [truth for truth in truths if official_normalize(truth)]
        if not truths:
            truths = [""]
    exact = max(float(official_normalize(prediction) == official_normalize(truth)) for truth in truths)
    return exact, max(official_f1(prediction, truth, second=second) for truth in truths)


@given(text=TEXTS)
def test_answers_are_normalised_as_officially(text: str):
    assert normalize_answer(text) == official_normalize(text)


@given(prediction=TEXTS, truths=st.lists(TEXTS, min_size=1, max_size=4), second=st.booleans())
def test_scores_are_the_official_ones(prediction: str, truths: list[str], second: bool):
    assert score_answer(prediction, truths, may_be_impossible=second) == official(prediction, truths, second=second)


@pytest.mark.parametrize(("prediction", "scores"), [("", (1.0, 1.0)), ("the", (1.0, 1.0)), ("cat", (0.0, 0.0))])
def test_a_question_without_answer_wants_none(prediction: str, scores: tuple[float, float]):
    assert score_answer(prediction, [], may_be_impossible=True) == scores
