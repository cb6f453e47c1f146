import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit.tasks.metrics import (
    CLASSIFICATION_METRICS,
    REGRESSION_METRICS,
    accuracy,
    f1,
    macro_f1,
    matthews,
    pearson,
    spearman,
)


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
