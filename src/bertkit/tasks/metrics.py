"""Scores by name, and the correlation that chance gives.

scikit-learn and SciPy are imported where a score is computed: a model that only predicts does not wait for them.
"""
# N examples.

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Metric = Callable[[NDArray[np.generic], NDArray[np.generic]], float]
"""(predictions (N,), labels (N,)) -> score."""


def accuracy(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """Share of right classes."""
    return float(np.mean(predictions == labels))


def f1(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """F1 of class 1 against all others, as GLUE scores MRPC and QQP; 0 where class 1 is never predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels == 1, predictions == 1, zero_division=0.0))


def macro_f1(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """Mean over the classes, each counted alike, of their F1."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="macro", zero_division=0.0))


def matthews(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """Matthews correlation; 0 where all predictions, or all labels, are one class."""
    from sklearn.metrics import matthews_corrcoef

    return 0.0 if _is_constant(predictions, labels) else float(matthews_corrcoef(labels, predictions))


def pearson(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """Pearson correlation; 0 where either side is constant."""
    from scipy import stats

    return 0.0 if _is_constant(predictions, labels) else _finite(stats.pearsonr(predictions, labels).statistic)


def spearman(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """Spearman rank correlation; 0 where either side is constant."""
    from scipy import stats

    return 0.0 if _is_constant(predictions, labels) else _finite(stats.spearmanr(predictions, labels).statistic)


def _is_constant(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> bool:
    return bool(np.all(predictions == predictions[0]) or np.all(labels == labels[0]))


def _finite(value: float) -> float:
    """0 for the NaN that differences below float64's precision leave."""
    return float(value) if np.isfinite(value) else 0.0


CLASSIFICATION_METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews": matthews,
}
REGRESSION_METRICS: dict[str, Metric] = {"pearson": pearson, "spearman": spearman}


def correlation_by_chance(count: int) -> float:
    """The correlation of N independent pairs that one in forty is above, by Student's t; 1 where N says nothing."""
    from scipy import stats

    if count < 3:
        return 1.0
    quantile = float(stats.t.ppf(0.975, count - 2))
    return quantile / math.sqrt(count - 2 + quantile**2)
