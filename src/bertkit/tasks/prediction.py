"""What a task says about one text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ClassPrediction:
    """The likeliest class, and the probability of every class."""

    label: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class ScorePrediction:
    """A number."""

    score: float


Prediction = ClassPrediction | ScorePrediction
