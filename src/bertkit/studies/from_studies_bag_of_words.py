"""What a classifier without any pre-training reaches: TF-IDF with logistic regression, and the largest class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import FeatureUnion

_MOST_FOLDS = 4
_ENOUGH_FOR_ONE_SPLIT = 500
_INVERSE_PENALTIES = (1.0, 10.0, 100.0)


def tfidf_predictions(texts: Sequence[str], labels: Sequence[str], unseen: Sequence[str], seed: int) -> list[str]:
    """Labels of `unseen` by logistic regression on TF-IDF weights.

    Cross-validation on the training texts, or a fourth of them where there are many, chooses words and pairs of words,
    characters within words, or both, and the strength of the penalty. Every class needs two texts.
    """
    splits = _splits(labels, seed)
    choices = []
    for features in _features():
        weights = features.fit_transform(texts)
        for inverse_penalty in _INVERSE_PENALTIES:
            score = cross_val_score(_classifier(inverse_penalty), weights, labels, cv=splits).mean()
            choices.append((score, features, weights, inverse_penalty))
    _, features, weights, inverse_penalty = max(choices, key=lambda choice: choice[0])  # the first of equals
    classifier = _classifier(inverse_penalty).fit(weights, labels)
    return [str(label) for label in classifier.predict(features.transform(unseen))]


def largest_class_predictions(labels: Sequence[str], count: int) -> list[str]:
    """The most frequent training label, the alphabetically first of equals, `count` times."""
    counts = Counter(labels)
    return [min(counts, key=lambda label: (-counts[label], label))] * count


def _splits(labels: Sequence[str], seed: int) -> Any:
    if len(labels) >= _ENOUGH_FOR_ONE_SPLIT:
        return StratifiedShuffleSplit(1, test_size=1 / _MOST_FOLDS, random_state=seed)
    return StratifiedKFold(min(_MOST_FOLDS, *Counter(labels).values()), shuffle=True, random_state=seed)


def _classifier(inverse_penalty: float) -> LogisticRegression:
    return LogisticRegression(C=inverse_penalty, max_iter=300, tol=1e-3)


def _features() -> list[Any]:
    def words() -> Any:
        return TfidfVectorizer(analyzer="word", ngram_range=(1, 2), sublinear_tf=True)

    def characters() -> Any:
        return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)

    return [words(), characters(), FeatureUnion([("words", words()), ("characters", characters())])]
