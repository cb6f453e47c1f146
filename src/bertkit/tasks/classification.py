"""One of several classes for a text or a pair of texts."""
# B sequences, C classes.

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertkit.foundation.errors import InputError
from bertkit.model.config import BertConfig
from bertkit.model.heads import ClassificationHead
from bertkit.tasks.chance import all_right, best_constant
from bertkit.tasks.columns import Columns
from bertkit.tasks.instances import TaskInstances
from bertkit.tasks.labelled_examples import LabelledExamples
from bertkit.tasks.loss_shape import PLAIN, LossShape
from bertkit.tasks.metrics import CLASSIFICATION_METRICS
from bertkit.tasks.prediction import ClassPrediction, Prediction
from bertkit.tasks.task_options import TaskOptions
from bertkit.tasks.text_task import TextTask


@dataclass(frozen=True, kw_only=True)
class Classification(TextTask):
    """Cross-entropy over `classes`, whose order is the order of the outputs."""

    kind = "classification"
    known_metrics = tuple(CLASSIFICATION_METRICS)
    smooths_labels = True

    classes: tuple[str, ...]
    metric_names: tuple[str, ...] = ("accuracy", "macro_f1")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.classes) < 2:
            only = ", ".join(self.classes)
            raise InputError(f"classification needs at least 2 labels, there is only {only!r}: check the label column")

    @classmethod
    def define(
        cls,
        train: LabelledExamples,
        options: TaskOptions,
        *,
        max_length: int,
        metric_names: tuple[str, ...] | None,
        columns: Columns,
        benchmark: str | None,
    ) -> Self:
        """The classes are those of the training labels."""
        return cls(
            classes=classes_of(train.labels, train.place),
            max_length=max_length,
            metric_names=metric_names or cls.metric_names,
            columns=columns,
            benchmark=benchmark,
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes."""
        return self.classes

    @property
    def summary(self) -> str:
        """Their number."""
        return f"{len(self.classes)} classes"

    def head(self, config: BertConfig) -> nn.Module:
        """Dropout and a linear layer."""
        return ClassificationHead(config, len(self.classes))

    def targets(self, labels: Sequence[object], place: Callable[[int], str]) -> Tensor:
        """Places in `classes`, int64 (B,)."""
        places = {name: index for index, name in enumerate(self.classes)}
        targets = torch.empty(len(labels), dtype=torch.int64)
        for index, label in enumerate(labels):
            name = class_name(label, place(index))
            if name not in places:
                known = ", ".join(map(repr, self.classes[:10])) + (", …" if len(self.classes) > 10 else "")
                raise InputError(
                    f"{place(index)}: label {name!r} is unknown; training has {known}: mend the label or train with it"
                )
            targets[index] = places[name]
        return targets

    def loss(self, logits: Tensor, targets: Tensor, bounds: Tensor, shape: LossShape = PLAIN) -> Tensor:
        """Cross-entropy, summed."""
        return F.cross_entropy(
            logits.float(),
            targets,
            weight=shape.class_weights,
            label_smoothing=shape.label_smoothing,
            reduction="sum",
        )

    def correct(self, logits: Tensor, targets: Tensor, bounds: Tensor) -> Tensor:
        """How many classes are right."""
        return (logits.argmax(-1) == targets).sum()

    def decode(self, logits: Tensor, instances: TaskInstances[LabelledExamples]) -> list[Prediction]:
        """Softmax; of equal classes the first."""
        rows = logits.float().softmax(-1).tolist()
        best = logits.argmax(-1).tolist()
        return [
            ClassPrediction(self.classes[place], dict(zip(self.classes, row, strict=True)))
            for place, row in zip(best, rows, strict=True)
        ]

    def metrics(self, logits: Tensor, instances: TaskInstances[LabelledExamples]) -> dict[str, float]:
        """Scores of the likeliest classes."""
        assert instances.targets is not None
        predictions, labels = logits.argmax(-1).numpy(), instances.targets.numpy()
        return {name: CLASSIFICATION_METRICS[name](predictions, labels) for name in self.metric_names}

    def chance(self, instances: TaskInstances[LabelledExamples]) -> dict[str, float]:
        """Of one class for all."""
        return best_constant(self, instances, len(self.classes))

    def perfect(self, instances: TaskInstances[LabelledExamples]) -> dict[str, float]:
        """Of the right class."""
        return all_right(self, instances, len(self.classes))

    def strata(self, examples: LabelledExamples) -> Sequence[int]:
        """The classes."""
        places: list[int] = self.targets(examples.labels, examples.place).tolist()
        return places


def class_name(label: object, place: str) -> str:
    """A label as a table holds it (text, whole number, truth value) to its name, white space around it left out.

    Raises `InputError` for anything else.
    """
    if isinstance(label, float) and math.isfinite(label) and label.is_integer():
        return str(int(label))  # a whole number, from a column that a missing value elsewhere turned into floats
    if isinstance(label, str) and label.strip():
        return label.strip()
    if isinstance(label, int):
        return str(label)
    raise InputError(
        f"{place}: label {label!r} is no class: give a word or a whole number; scores are for models of "
        "`bertkit finetune --kind regression`"
    )


def classes_of(labels: Sequence[object], place: Callable[[int], str]) -> tuple[str, ...]:
    """The distinct labels in order: whole numbers by size, else alphabetically.

    Raises `InputError` where the labels are fractions, which are scores and no classes.
    """
    names = {class_name(label, place(index)) for index, label in enumerate(labels)}
    numbers = {name: number for name in names if (number := _number(name)) is not None}
    if len(numbers) < len(names):
        return tuple(sorted(names))
    for index, label in enumerate(labels):
        if not float(numbers[class_name(label, place(index))]).is_integer():
            raise InputError(
                f"{place(index)}: label {label!r} is a score and no class: scores are for models of `bertkit finetune "
                "--kind regression`"
            )
    return tuple(sorted(names, key=lambda name: (numbers[name], name)))


def _number(name: str) -> float | None:
    try:
        number = float(name)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
