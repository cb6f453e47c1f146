from dataclasses import replace

import pytest
import torch
from bare_instances import bare_instances
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.dummy import DummyClassifier

from bertkit.tasks.chance import correlation_by_chance
from bertkit.tasks.classification import Classification
from bertkit.tasks.multiple_choice import MultipleChoice
from bertkit.tasks.question import Answer, Question, Questions
from bertkit.tasks.regression import Regression
from bertkit.tasks.span_extraction import SpanExtraction


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_the_accuracy_is_that_of_the_majority_classifier(labels: list[int]):
    task = Classification(classes=("a", "b", "c"), max_length=4, metric_names=("accuracy",))
    majority = DummyClassifier(strategy="most_frequent").fit(labels, labels).score(labels, labels)
    chance = task.chance(bare_instances(len(labels), torch.tensor(labels)))
    assert chance == {"accuracy": pytest.approx(majority)}


def test_f1_is_that_of_always_class_1_and_matthews_correlation_is_none():
    task = Classification(classes=("0", "1"), max_length=4, metric_names=("f1", "matthews"))
    assert task.chance(bare_instances(4, torch.tensor([0, 0, 0, 1]))) == {"f1": pytest.approx(2 / 5), "matthews": 0.0}


def test_a_correlation_by_chance_is_significant_once_in_forty():
    for count in (3, 10, 1500):
        correlation = correlation_by_chance(count)
        of_independent_pairs = stats.beta(count / 2 - 1, count / 2 - 1, loc=-1, scale=2)
        assert of_independent_pairs.sf(correlation) == pytest.approx(0.025, rel=1e-6)
    assert correlation_by_chance(2) == 1.0
    assert Regression(max_length=4).chance(bare_instances(10))["pearson"] == correlation_by_chance(10)


def test_a_choice_by_chance_is_the_commonest_place():
    assert MultipleChoice(max_length=4).chance(bare_instances(3, torch.tensor([0, 2, 2])))["accuracy"] == 2 / 3


def test_answers_by_chance_are_none_at_all():
    answers = [(), (Answer("x", 0),), (), ()]
    items = [Question(id=str(n), question="q", context="x", answers=a, place="") for n, a in enumerate(answers)]
    instances = replace(bare_instances(4), examples=Questions(tuple(items)))
    names = ("f1", "exact", "answerable_f1")
    task = SpanExtraction(max_length=8, impossible=True, metric_names=names)
    assert task.chance(instances) == {"f1": 0.75, "exact": 0.75, "answerable_f1": 0.0}


def test_right_predictions_are_no_better_than_chance_where_all_labels_are_the_same():
    names = ("accuracy", "f1", "macro_f1", "matthews")
    task = Classification(classes=("0", "1"), max_length=4, metric_names=names)
    for labels in ([1, 1, 1], [0, 0], [1]):
        instances = bare_instances(len(labels), torch.tensor(labels))
        assert task.perfect(instances) == task.chance(instances)
    mixed = bare_instances(4, torch.tensor([0, 0, 0, 1]))
    assert task.perfect(mixed) == dict.fromkeys(names, 1.0)
    assert all(task.perfect(mixed)[name] > task.chance(mixed)[name] for name in names)


def test_right_scores_correlate_unless_they_are_constant():
    task = Regression(max_length=4)
    scores = torch.tensor([0.5, 1.0, 3.5, 2.0])
    assert task.perfect(bare_instances(4, scores)) == pytest.approx({"pearson": 1.0, "spearman": 1.0})
    assert task.perfect(bare_instances(4, torch.ones(4))) == {"pearson": 0.0, "spearman": 0.0}


def test_right_answers_are_no_better_than_none_where_no_question_has_one():
    items = [Question(id=str(n), question="q", context="x", answers=(), place="") for n in range(3)]
    instances = replace(bare_instances(3), examples=Questions(tuple(items)))
    task = SpanExtraction(max_length=8, impossible=True, metric_names=("f1", "answerable_f1"))
    assert task.perfect(instances) == task.chance(instances) == {"f1": 1.0, "answerable_f1": 0.0}
