"""Several labels for a text or a pair of texts, or none: each label is decided by itself."""
# N examples, an example being one sequence; L labels.

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from bertkit.core.errors import InputError
from bertkit.core.lazy import lazy_module
from bertkit.core.records import Share
from bertkit.data.readers.tables import TableSource
from bertkit.pretrained.config_json import MULTI_LABEL
from bertkit.tasks.classification import TextTask, class_name, classes_of
from bertkit.tasks.contract import PLAIN, Definition, LossShape, Scorer, TaskInstances
from bertkit.tasks.labelled import LabelledExamples, read_examples, shortened
from bertkit.tasks.metrics import MULTI_LABEL_METRICS
from bertkit.tasks.options import Columns
from bertkit.tasks.predictions import Prediction

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from bertkit.model import heads
else:
    torch = lazy_module("torch")
    heads = lazy_module("bertkit.model.heads")


_HALF = 0.5
_SURE = 20.0
"""Logit of a probability that is 1 in float32."""


@dataclass(frozen=True)
class LabelsPrediction(Prediction):
    """The labels whose probability reaches their threshold, the likeliest first, and the probability of every label."""

    labels: tuple[str, ...]
    probabilities: Mapping[str, float]

    def fields(self) -> list[str]:
        """Labels and their probabilities."""
        return [", ".join(self.labels), ", ".join(f"{self.probabilities[label]:.4f}" for label in self.labels)]

    def row(self) -> dict[str, Any]:
        """A column for the probability of each label."""
        return {"labels": self.labels, **{f"probability_{name}": value for name, value in self.probabilities.items()}}


@dataclass(frozen=True, kw_only=True)
class MultiLabel(TextTask):
    """Binary cross-entropy of each of the `classes`, the mean over examples and labels as in Transformers."""

    kind = "multi-label"
    problem_type = MULTI_LABEL
    known_metrics = tuple(MULTI_LABEL_METRICS)
    known_options = ("label_separator",)

    classes: tuple[str, ...]
    metric_names: tuple[str, ...] = known_metrics
    label_separator: Annotated[str, Meta(min_length=1)] = ","
    thresholds: tuple[Share, ...] | None = None
    """Probability of each label from which on it is given; None while training: the best for the examples measured."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.classes:
            raise InputError("multi-label: no training example has a label: check the label column")

    @classmethod
    def read(
        cls,
        source: TableSource,
        columns: Columns,
        *,
        split: str = "train",
        where: tuple[str, str] | None = None,
        labelled: bool = True,
    ) -> LabelledExamples:
        """Read a table whose label column holds lists or separated texts; `a,b,c` are columns of 0 and 1, one a label.

        See `read_examples`.
        """
        names = [name.strip() for name in columns.label.split(",")] if isinstance(columns.label, str) else []
        several = tuple(names) if len(names) > 1 else ()
        return read_examples(source, columns, split=split, where=where, labelled=labelled, label_columns=several)

    @classmethod
    def define(cls, train: LabelledExamples, given: Definition) -> Self:
        """The labels are those of the training examples, or the columns of 0 and 1 in their order."""
        separator = given.options.label_separator
        found = [
            (name, index)
            for index, cell in enumerate(train.labels)
            for name in label_names(cell, separator, train.place(index))
        ]
        if train.labels and isinstance(train.labels[0], Mapping):
            return cls.of(given, classes=tuple(train.labels[0]))
        classes = classes_of([name for name, _ in found], lambda place: train.place(found[place][1]))
        return cls.of(given, classes=classes)

    @classmethod
    def restore(cls, description: Mapping[str, Any], classes: tuple[str, ...] | None) -> Self:
        """The task of a `task.json`; without thresholds a label is given from one half on."""
        task = super().restore(description, classes)
        if task.thresholds is not None and len(task.thresholds) != len(task.classes):
            raise InputError(f"{len(task.thresholds)} thresholds for {len(task.classes)} labels")
        return task if task.thresholds is not None else task.with_halves()

    @property
    def summary(self) -> str:
        """Their number."""
        return f"{len(self.classes)} labels"

    def targets(self, labels: Sequence[object], place: Callable[[int], str]) -> Tensor:
        """1 for the labels that an example has, 0 for the others, float32 (N, L)."""
        places = {name: index for index, name in enumerate(self.classes)}
        targets = torch.zeros(len(labels), len(self.classes))
        for index, cell in enumerate(labels):
            for name in label_names(cell, self.label_separator, place(index)):
                if name not in places:
                    known = ", ".join(map(repr, self.classes[:10])) + (", …" if len(self.classes) > 10 else "")
                    raise InputError(
                        f"{place(index)}: label {name!r} is unknown; training has {known}, separated by "
                        f"{self.label_separator!r}: correct the label or the separator in the file, or train with it"
                    )
                targets[index, places[name]] = 1
        return targets

    def start(self, head: nn.Module, train: TaskInstances[LabelledExamples]) -> None:
        """Biases that give every label the probability of its share (Lin et al. 2017, section 4.1).

        From biases of 0, rare labels would turn all texts' pooled outputs into one direction before anything else is
        learnt.
        """
        assert isinstance(head, heads.ClassificationHead)
        assert train.targets is not None
        counts = train.targets.sum(0)
        with torch.no_grad():
            head.dense.bias.copy_(((counts + 1) / (len(train) - counts + 1)).log())

    def loss(self, logits: Tensor, targets: Tensor, bounds: Tensor, shape: LossShape = PLAIN) -> Tensor:
        """Binary cross-entropy, summed over examples and labels."""
        return torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="sum")

    def count(self, targets: Tensor) -> int:
        """Examples times labels."""
        return targets.numel()

    def decode(self, logits: NDArray[np.float32], instances: TaskInstances[LabelledExamples]) -> list[Prediction]:
        """Every label whose probability reaches its threshold."""
        predictions: list[Prediction] = []
        thresholds = self.thresholds or self.with_halves().thresholds or ()
        for row in probabilities(logits).tolist():
            given = [place for place, threshold in enumerate(thresholds) if row[place] >= threshold]
            given.sort(key=lambda place: -row[place])
            names = tuple(self.classes[place] for place in given)
            predictions.append(LabelsPrediction(names, dict(zip(self.classes, row, strict=True))))
        return predictions

    @property
    def scorer(self) -> Scorer[MultiLabel]:
        """By the labels that are given, and by the order of their probabilities."""
        return _LabelScorer(self)

    @property
    def is_tunable(self) -> bool:
        """The thresholds."""
        return True

    def tuned(self, logits: Tensor, instances: TaskInstances[LabelledExamples]) -> Self:
        """With the threshold of each label's highest F1."""
        assert instances.targets is not None
        columns = zip(probabilities(logits.numpy()).T, instances.targets.numpy().T > 0, strict=True)
        return replace(self, thresholds=tuple(best_threshold(chances, is_label) for chances, is_label in columns))

    def with_halves(self) -> Self:
        """With one half as every label's threshold."""
        return replace(self, thresholds=(_HALF,) * len(self.classes))

    def strata(self, examples: LabelledExamples) -> Sequence[int]:
        """Of each example its rarest label, counted from 1; 0 for none."""
        targets = self.targets(examples.labels, examples.place).numpy()
        rarity = np.where(targets > 0, targets.sum(0), np.inf)  # (N, L)
        strata: list[int] = np.where(targets.any(-1), rarity.argmin(-1) + 1, 0).tolist()
        return strata


class _LabelScorer(Scorer[MultiLabel]):
    def figures(self, logits: Tensor, instances: TaskInstances[Any]) -> dict[str, float]:
        assert instances.targets is not None
        task = self.task if self.task.thresholds is not None else self.task.tuned(logits, instances)
        given = probabilities(logits.numpy()) >= np.array(task.thresholds)
        labels, order = instances.targets.numpy() > 0, logits.double().numpy()
        return {name: MULTI_LABEL_METRICS[name](given, order, labels) for name in task.metric_names}

    def correct(self, logits: Tensor, targets: Tensor, bounds: Tensor) -> Tensor:
        """Labels that are rightly given or left out, from one half on."""
        return ((logits > 0) == (targets > _HALF)).sum()

    def constants(self, instances: TaskInstances[Any]) -> Iterable[Tensor]:
        """The commonest set of labels, and the k commonest labels for every k from none to all."""
        assert instances.targets is not None
        sets, counts = instances.targets.unique(dim=0, return_counts=True)  # type: ignore[no-untyped-call]
        ranks = instances.targets.sum(0).argsort(descending=True).argsort()
        rows = [sets[counts.argmax()], *((ranks < count).float() for count in range(len(ranks) + 1))]
        return (_sure(row).expand(len(instances), -1) for row in rows)

    def right(self, instances: TaskInstances[Any]) -> Tensor:
        assert instances.targets is not None
        return _sure(instances.targets)

    def chance(self, instances: TaskInstances[Any]) -> dict[str, float]:
        """Of constants, whose probabilities leave no threshold to choose."""
        return super(_LabelScorer, _LabelScorer(self.task.with_halves())).chance(instances)


def _sure(targets: Tensor) -> Tensor:
    return (2 * targets - 1) * _SURE


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability of each label, (N, L)."""
    small = np.exp(-np.abs(logits))  # never more than 1
    chances: NDArray[np.float32] = np.where(logits >= 0, 1, small) / (1 + small)
    return chances.astype(np.float64)


def best_threshold(chances: NDArray[np.float64], is_label: NDArray[np.bool_]) -> float:
    """The threshold of the highest F1 of a label with probabilities (N,), of equals the highest.

    It lies halfway to the next probability, so that other rounding changes nothing; one half where no example has the
    label.
    """
    if not is_label.any():
        return _HALF
    order = np.argsort(-chances, kind="stable")
    chances = np.append(chances[order], 0.0)
    f1 = 2 * np.cumsum(is_label[order]) / (np.arange(1, len(order) + 1) + is_label.sum())
    best = int(np.argmax(np.where(chances[1:] < chances[:-1], f1, -1.0)))  # equal probabilities are decided alike
    return float((chances[best] + chances[best + 1]) / 2)


def label_names(cell: object, separator: str, place: str) -> tuple[str, ...]:
    """The labels in a table's cell: a list, a list written as text, names with `separator` between, or columns of 0/1.

    An empty list or text is no label. Raises `InputError`.
    """
    if isinstance(cell, Mapping):
        return tuple(str(name) for name, value in cell.items() if _is_one(value, f"{place}: column {name!r}"))
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        cell = _list_of(cell, place)
    if isinstance(cell, str):
        cell = [name for name in cell.split(separator) if name.strip()]
    if cell is None:
        raise InputError(f"{place} has no labels: write an empty list or an empty text where there are none")
    each = cell if isinstance(cell, list | tuple) else [cell]
    return tuple(dict.fromkeys(class_name(one, place) for one in each))


def _list_of(text: str, place: str) -> list[object]:
    """A list as JSON or Python writes it."""
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(found, list):
            return found
    raise InputError(f"{place}: {shortened(text)} is no list of labels: write it as JSON")


def _is_one(value: object, place: str) -> bool:
    text = str(value).strip().lower()
    if text in ("1", "1.0", "true"):
        return True
    if text in ("0", "0.0", "false"):
        return False
    raise InputError(f"{place} holds {value!r}: write 1 where an example has the label and 0 where it has not")
