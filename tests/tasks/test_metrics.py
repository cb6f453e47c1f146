import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit.tasks.metrics import CLASSIFICATION_METRICS, REGRESSION_METRICS, accuracy, f1, macro_f1, matthews, pearson


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
