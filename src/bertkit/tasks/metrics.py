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


LabelMetric = Callable[[NDArray[np.bool_], NDArray[np.float64], NDArray[np.bool_]], float]
"""(labels given (N, L), scores that order the examples of each label (N, L), labels (N, L)) -> score."""


def label_micro_f1(given: NDArray[np.bool_], scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """F1 over all labels of all examples together."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels.ravel(), given.ravel(), zero_division=0.0))


def label_macro_f1(given: NDArray[np.bool_], scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Mean of the F1 of each label that occurs or is given."""
    from sklearn.metrics import f1_score

    occurs = labels.any(0) | given.any(0)
    if not occurs.any():
        return 0.0
    each = [f1_score(labels[:, place], given[:, place], zero_division=0.0) for place in np.flatnonzero(occurs)]
    return float(np.mean(each))


def label_average_precision(given: NDArray[np.bool_], scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Mean of the average precision of each label that occurs; no threshold decides it."""
    from sklearn.metrics import average_precision_score

    each = [average_precision_score(labels[:, place], scores[:, place]) for place in np.flatnonzero(labels.any(0))]
    return float(np.mean(each)) if each else 0.0


def subset_accuracy(given: NDArray[np.bool_], scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Share of examples whose labels are all right."""
    return float((given == labels).all(-1).mean())


MULTI_LABEL_METRICS: dict[str, LabelMetric] = {
    "average_precision": label_average_precision,
    "micro_f1": label_micro_f1,
    "macro_f1": label_macro_f1,
    "subset_accuracy": subset_accuracy,
}
