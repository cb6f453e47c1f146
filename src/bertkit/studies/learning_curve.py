"""Scores of several methods at growing numbers of labels."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertkit.core.console import note
from bertkit.core.randomness import derive_key, generator
from bertkit.core.records import Amount, Share, read_record, write_record
from bertkit.tasks.labelled import LabelledExamples
from bertkit.tasks.metrics import accuracy, macro_f1


def label_sample(labels: Sequence[object], per_class: int | None, seed: int) -> NDArray[np.int64]:
    """Indices of at most `per_class` examples of each class, ascending; all examples if it is None.

    For one seed, a smaller sample is part of a larger one.
    """
    _, classes = np.unique(np.asarray(labels), return_inverse=True)
    if per_class is None:
        return np.arange(len(classes))
    order = generator(derive_key(seed, "label sample")).permutation(len(classes))
    chosen = [order[classes[order] == number][:per_class] for number in range(classes.max() + 1)]
    return np.sort(np.concatenate(chosen))


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to learn from labelled examples and predict."""

    name: str
    predict: Callable[[LabelledExamples, Sequence[str], int], list[str]]
    """(labelled examples, unseen texts, seed) -> a label for each unseen text."""
    is_random: bool = True
    """Whether the seed changes anything but the sample; if not, "all labels" is measured once only."""


@dataclass(frozen=True, kw_only=True)
class CurveSize:
    """How many labels each class has (None for all), and how many samples of them are drawn."""

    per_class: int | None
    seeds: int

    @property
    def name(self) -> str:
        """The number, or "all"."""
        return "all" if self.per_class is None else str(self.per_class)


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """The scores of one training of one method."""

    method: str
    size: str
    examples: int
    """Number of labelled examples in the sample."""
    seed: int
    accuracy: Share
    macro_f1: Share
    seconds: Amount
    predictions: tuple[str, ...]
    """Predicted labels of the unseen examples."""


@dataclass(frozen=True, kw_only=True)
class CurveSummary:
    """The scores of a method at one size, over its seeds."""

    method: str
    size: str
    examples: int
    seeds: int
    accuracy: float
    accuracy_deviation: float
    """Standard deviation of a sample; 0 for one seed."""
    macro_f1: float


def learning_curve(
    train: LabelledExamples,
    unseen: LabelledExamples,
    methods: Sequence[Method],
    sizes: Sequence[CurveSize],
    folder: Path,
) -> list[CurvePoint]:
    """Train every method on the same samples and score it on `unseen`.

    Each point is written into `folder` as soon as it is measured; points that are already there are read.
    """
    wanted = [
        (size, seed, method)
        for size in sizes
        for seed in range(size.seeds)
        for method in methods
        if size.per_class is not None or method.is_random or seed == 0
    ]
    points = []
    for number, (size, seed, method) in enumerate(wanted, 1):
        path = folder / f"{method.name.replace(' ', '-')}.{size.name}.{seed}.json"
        if path.is_file():
            points.append(read_record(path, CurvePoint, "remove it, the point is measured again"))
            continue
        point = _measure(train, unseen, method, size, seed)
        write_record(path, asdict(point))
        points.append(point)
        note(
            f"{number} of {len(wanted)}: {method.name}, {size.name} labels per class, seed {seed}: "
            f"accuracy {point.accuracy:.3f} ({point.seconds:.1f} s)"
        )
    return points


def _measure(
    train: LabelledExamples, unseen: LabelledExamples, method: Method, size: CurveSize, seed: int
) -> CurvePoint:
    start = time.perf_counter()
    sample = train.take(label_sample(train.labels, size.per_class, seed))
    predictions = method.predict(sample, unseen.texts, seed)
    labels = np.asarray(unseen.labels)
    return CurvePoint(
        method=method.name,
        size=size.name,
        examples=len(sample),
        seed=seed,
        accuracy=accuracy(np.asarray(predictions), labels),
        macro_f1=macro_f1(np.asarray(predictions), labels),
        seconds=time.perf_counter() - start,
        predictions=tuple(predictions),
    )


def summarise(points: Sequence[CurvePoint]) -> list[CurveSummary]:
    """Means over the seeds, in the order in which methods and sizes first occur."""
    groups: dict[tuple[str, str], list[CurvePoint]] = {}
    for point in points:
        groups.setdefault((point.method, point.size), []).append(point)
    return [
        CurveSummary(
            method=method,
            size=size,
            examples=group[0].examples,
            seeds=len(group),
            accuracy=statistics.fmean(point.accuracy for point in group),
            accuracy_deviation=statistics.stdev(point.accuracy for point in group) if len(group) > 1 else 0.0,
            macro_f1=statistics.fmean(point.macro_f1 for point in group),
        )
        for (method, size), group in groups.items()
    ]
