import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.dummy import DummyClassifier

from bare_instances import bare_instances
from bertkit.tasks.choice import MultipleChoice
from bertkit.tasks.classification import Classification
from bertkit.tasks.metrics import (
    CLASSIFICATION_METRICS,
    REGRESSION_METRICS,
    accuracy,
    correlation_by_chance,
    f1,
    macro_f1,
    matthews,
    pearson,
    spearman,
)
from bertkit.tasks.questions.files import Answer, Question, Questions
from bertkit.tasks.questions.task import SpanExtraction
from bertkit.tasks.regression import Regression


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_the_accuracy_is_that_of_the_majority_classifier(labels: list[int]):
    task = Classification(classes=("a", "b", "c"), max_length=4, metric_names=("accuracy",))
    majority = DummyClassifier(strategy="most_frequent").fit(labels, labels).score(labels, labels)
    chance = task.scorer.chance(bare_instances(len(labels), torch.tensor(labels)))
    assert chance == {"accuracy": pytest.approx(majority)}


def test_f1_is_that_of_always_class_1_and_matthews_correlation_is_none():
    task = Classification(classes=("0", "1"), max_length=4, metric_names=("f1", "matthews"))
    assert task.scorer.chance(bare_instances(4, torch.tensor([0, 0, 0, 1]))) == {
        "f1": pytest.approx(2 / 5),
        "matthews": 0.0,
    }


def test_a_correlation_by_chance_is_significant_once_in_forty():
    for count in (3, 10, 1500):
        correlation = correlation_by_chance(count)
        of_independent_pairs = stats.beta(count / 2 - 1, count / 2 - 1, loc=-1, scale=2)
        assert of_independent_pairs.sf(correlation) == pytest.approx(0.025, rel=1e-6)
    assert correlation_by_chance(2) == 1.0
    assert Regression(max_length=4).scorer.chance(bare_instances(10))["pearson"] == correlation_by_chance(10)


def test_a_choice_by_chance_is_the_commonest_place():
    assert MultipleChoice(max_length=4).scorer.chance(bare_instances(3, torch.tensor([0, 2, 2])))["accuracy"] == 2 / 3


def test_answers_by_chance_are_none_at_all():
    answers = [(), (Answer("x", 0),), (), ()]
    items = [Question(id=str(n), question="q", context="x", answers=a, place="") for n, a in enumerate(answers)]
    instances = replace(bare_instances(4), examples=Questions(tuple(items)))
    names = ("f1", "exact", "answerable_f1")
    task = SpanExtraction(max_length=8, impossible=True, metric_names=names)
    assert task.scorer.chance(instances) == {"f1": 0.75, "exact": 0.75, "answerable_f1": 0.0}


def test_right_predictions_are_no_better_than_chance_where_all_labels_are_the_same():
    names = ("accuracy", "f1", "macro_f1", "matthews")
    task = Classification(classes=("0", "1"), max_length=4, metric_names=names)
    for labels in ([1, 1, 1], [0, 0], [1]):
        instances = bare_instances(len(labels), torch.tensor(labels))
        assert task.scorer.perfect(instances) == task.scorer.chance(instances)
    mixed = bare_instances(4, torch.tensor([0, 0, 0, 1]))
    assert task.scorer.perfect(mixed) == dict.fromkeys(names, 1.0)
    assert all(task.scorer.perfect(mixed)[name] > task.scorer.chance(mixed)[name] for name in names)


def test_right_scores_correlate_unless_they_are_constant():
    task = Regression(max_length=4)
    scores = torch.tensor([0.5, 1.0, 3.5, 2.0])
    assert task.scorer.perfect(bare_instances(4, scores)) == pytest.approx({"pearson": 1.0, "spearman": 1.0})
    assert task.scorer.perfect(bare_instances(4, torch.ones(4))) == {"pearson": 0.0, "spearman": 0.0}


def test_right_answers_are_no_better_than_none_where_no_question_has_one():
    items = [Question(id=str(n), question="q", context="x", answers=(), place="") for n in range(3)]
    instances = replace(bare_instances(3), examples=Questions(tuple(items)))
    task = SpanExtraction(max_length=8, impossible=True, metric_names=("f1", "answerable_f1"))
    assert task.scorer.perfect(instances) == task.scorer.chance(instances) == {"f1": 1.0, "answerable_f1": 0.0}


def test_known_figures_of_a_small_confusion_table():
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    predictions = np.array([1, 1, 0, 1, 0, 0, 0, 0])  # 2 true, 1 false, 1 missed, 4 true negatives
    assert accuracy(predictions, labels) == 6 / 8
    assert f1(predictions, labels) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert matthews(predictions, labels) == pytest.approx((2 * 4 - 1 * 1) / math.sqrt(3 * 3 * 5 * 5))
    assert macro_f1(predictions, labels) == pytest.approx((2 / 3 + 4 / 5) / 2)


@pytest.mark.parametrize("name", ["f1", "matthews"])
def test_one_class_only_scores_0_and_not_nan(name: str):
    assert CLASSIFICATION_METRICS[name](np.zeros(4, int), np.array([0, 1, 1, 0])) == 0.0


@pytest.mark.parametrize("name", list(REGRESSION_METRICS))
@pytest.mark.filterwarnings("error")
def test_constant_scores_correlate_with_nothing(name: str):
    assert REGRESSION_METRICS[name](np.full(4, 2.5), np.array([1.0, 2, 3, 4])) == 0.0
    assert REGRESSION_METRICS[name](np.array([1.0]), np.array([3.0])) == 0.0


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=30))
def test_correlations_are_finite_and_bounded(pairs: list[tuple[int, int]]):
    predictions, labels = np.array(pairs, float).T
    for metric in REGRESSION_METRICS.values():
        assert -1 - 1e-9 <= metric(predictions, labels) <= 1 + 1e-9


def test_pearson_of_a_line_is_1():
    assert pearson(np.array([1.0, 2, 3]), np.array([10.0, 20, 30])) == pytest.approx(1)


def _f1_of(number: int, pairs: list[tuple[int, int]]) -> float:
    both = sum(said == is_ == number for said, is_ in pairs)
    either = sum((said == number) + (is_ == number) for said, is_ in pairs)
    return 2 * both / either if either else 0.0


@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=25))
def test_scores_of_classes_are_those_of_their_definitions(pairs: list[tuple[int, int]]):
    predictions, labels = np.array(pairs).T
    assert accuracy(predictions, labels) == pytest.approx(sum(said == is_ for said, is_ in pairs) / len(pairs))
    assert f1(predictions, labels) == pytest.approx(_f1_of(1, pairs))
    there = sorted({number for pair in pairs for number in pair})
    assert macro_f1(predictions, labels) == pytest.approx(sum(_f1_of(number, pairs) for number in there) / len(there))
    # Matthews correlation of several classes is Pearson's of their indicators (Gorodkin 2004).
    x, y = ((side[:, None] == np.arange(4)) * 1.0 for side in (predictions, labels))
    covariance, spread = (np.sum((a - a.mean(0)) * (b - b.mean(0))) for a, b in ((x, y), (x, x)))
    spread *= np.sum((y - y.mean(0)) ** 2)
    assert matthews(predictions, labels) == pytest.approx(covariance / math.sqrt(spread) if spread > 1e-12 else 0.0)


@given(pairs=st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=2, max_size=20))
def test_spearman_is_pearson_of_the_mean_ranks(pairs: list[tuple[int, int]]):
    predictions, labels = np.array(pairs, float).T
    ranks = [np.array([(side < one).sum() + (side == one).sum() / 2 for one in side]) for side in (predictions, labels)]
    assert spearman(predictions, labels) == pytest.approx(pearson(*ranks), abs=1e-9)
