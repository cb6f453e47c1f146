"""What a model says before and after quantization, compared: by its task's metric, or by the vectors of texts."""
# N examples, S sequences, R rows of output, F features.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bertkit.core.errors import InputError
from bertkit.inference.backends.base import TASK, HeadLogits, PooledStates, SequenceStates, Want
from bertkit.tasks.contract import Task, TaskInstances
from bertkit.tasks.evaluation import LOSS, measure
from bertkit.tasks.metrics import spearman
from bertkit.tasks.multi_label import LabelsPrediction
from bertkit.tasks.predictions import (
    AnswerPrediction,
    ChoicePrediction,
    ClassPrediction,
    Prediction,
    ScorePrediction,
    TagsPrediction,
)
from bertkit.text.sequences import EncodedExample

_NEIGHBOURS = 10
_WORST_SHARE = 0.01

Outputs = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How near outputs are to those of float32."""

    points_lost: float
    """Hundredths of the task's first metric; of vectors, of their mean cosine or of the rank agreement, whichever lost
    more."""
    metrics_before: dict[str, float] | None = None
    metrics_after: dict[str, float] | None = None
    agreement: float | None = None
    """Share of classes, sets of labels, words' tags, answers or choices that stay the same; of scores their rank
    correlation."""
    mean_cosine: float | None = None
    least_cosine: float | None = None
    cosine_of_worst_percent: float | None = None
    """The mean of the lowest hundredth."""
    rank_agreement: float | None = None
    """Spearman correlation of the similarities of all pairs of texts."""
    same_neighbours: float | None = None
    """Share of the ten nearest texts of each text that stay among the ten nearest."""


class Check(Protocol):
    """Sequences, what is wanted of the model for them, and how its outputs are compared."""

    @property
    def sequences(self) -> Sequence[EncodedExample]:
        """What goes through the model (S,)."""

    @property
    def want(self) -> Want:
        """The outputs to compare."""

    def rows_of(self, places: Sequence[int]) -> NDArray[np.int64]:
        """Rows of output of the sequences at `places`."""

    def compare(self, before: Outputs, after: Outputs) -> Quality:
        """Outputs (R, F) of all sequences by float32 and by int8."""


@dataclass(frozen=True, kw_only=True)
class TaskCheck:
    """By the metrics of a task on labelled examples."""

    task: Task[Any]
    instances: TaskInstances[Any]

    @property
    def want(self) -> Want:
        """Logits."""
        return HeadLogits(TASK)

    @property
    def sequences(self) -> Sequence[EncodedExample]:
        """The examples'."""
        return self.instances.sequences

    def rows_of(self, places: Sequence[int]) -> NDArray[np.int64]:
        """One a sequence, or one a token."""
        rows: NDArray[np.int64] = self.instances.sequence_rows[list(places)]
        return rows

    def compare(self, before: Outputs, after: Outputs) -> Quality:
        """Metrics and agreement."""
        first, second = (measure(self.task, torch.from_numpy(logits), self.instances) for logits in (before, after))
        metric = self.task.metric_names[0]
        return Quality(
            points_lost=100 * (first[metric] - second[metric]),
            metrics_before={name: value for name, value in first.items() if name != LOSS},
            metrics_after={name: value for name, value in second.items() if name != LOSS},
            agreement=_agreement(*(self.task.decode(logits, self.instances) for logits in (before, after))),
        )


def _agreement(before: Sequence[Prediction], after: Sequence[Prediction]) -> float:
    """How much of what is said stays the same, in 0 to 1."""
    scores = [[one.score for one in side if isinstance(one, ScorePrediction)] for side in (before, after)]
    if scores[0]:
        return spearman(np.array(scores[0]), np.array(scores[1]))
    pairs = [pair for one, other in zip(before, after, strict=True) for pair in _said(one, other)]
    return sum(one == other for one, other in pairs) / max(1, len(pairs))


def _said(one: Prediction, other: Prediction) -> list[tuple[object, object]]:
    match one, other:
        case ClassPrediction(), ClassPrediction():
            return [(one.label, other.label)]
        case LabelsPrediction(), LabelsPrediction():
            return [(set(one.labels), set(other.labels))]
        case TagsPrediction(), TagsPrediction():
            return list(zip(one.tags, other.tags, strict=True))
        case AnswerPrediction(), AnswerPrediction():
            return [(one.answer, other.answer)]
        case ChoicePrediction(), ChoicePrediction():
            return [(one.place, other.place)]
        case _:
            return [(one.fields()[0], other.fields()[0])]


@dataclass(frozen=True, kw_only=True)
class VectorCheck:
    """By the vectors of texts, pooled as the model's folder says."""

    sequences: Sequence[EncodedExample]
    want: Want

    def __post_init__(self) -> None:
        if len(self.sequences) <= _NEIGHBOURS:
            raise InputError(
                f"{len(self.sequences)} texts are too few to compare vectors by: give --check more than {_NEIGHBOURS}"
            )

    @classmethod
    def of(cls, sequences: Sequence[EncodedExample], last_layer: int, pooling: str) -> VectorCheck:
        """`pooling` as a folder names it: mean, cls or pooler."""
        if pooling == "pooler":
            return cls(sequences=sequences, want=PooledStates())
        want = SequenceStates((last_layer,), "first" if pooling == "cls" else "mean")
        return cls(sequences=sequences, want=want)

    def rows_of(self, places: Sequence[int]) -> NDArray[np.int64]:
        """One a text."""
        return np.ones(len(places), np.int64)

    def compare(self, before: Outputs, after: Outputs) -> Quality:
        """Cosines, ranks and neighbours."""
        first, second = (_Vectors(side) for side in (before, after))
        cosines = np.sort((first.directions * second.directions).sum(1))
        mean, ranks = float(cosines.mean()), spearman(first.pairs, second.pairs)
        worst = cosines[: max(1, int(_WORST_SHARE * len(cosines)))]
        shared = [len(set(one) & set(other)) for one, other in zip(first.nearest, second.nearest, strict=True)]
        return Quality(
            points_lost=100 * max(1 - mean, 1 - ranks),
            mean_cosine=mean,
            least_cosine=float(cosines[0]),
            cosine_of_worst_percent=float(worst.mean()),
            rank_agreement=ranks,
            same_neighbours=float(np.mean(shared)) / _NEIGHBOURS,
        )


class _Vectors:
    """Vectors (N, F), their similarities and neighbours."""

    def __init__(self, vectors: Outputs) -> None:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        self.directions = vectors / np.maximum(lengths, 1e-12)

    @cached_property
    def _similarities(self) -> NDArray[np.float32]:
        """(N, N)."""
        found: NDArray[np.float32] = self.directions @ self.directions.T
        np.fill_diagonal(found, -2.0)
        return found

    @property
    def pairs(self) -> NDArray[np.float32]:
        """Of each two texts once."""
        return self._similarities[np.triu_indices(len(self.directions), 1)]

    @property
    def nearest(self) -> list[list[int]]:
        """Of each text the `_NEIGHBOURS` most similar others."""
        found: list[list[int]] = np.argpartition(-self._similarities, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS].tolist()
        return found
