"""Classes of a text or of a pair of texts; `TextTask`, for every kind whose examples are rows of a table of texts."""
# N examples, an example being one sequence; C outputs.

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import softmax
from bertkit.core.errors import InputError
from bertkit.core.lazy import lazy_module
from bertkit.data.readers.tables import TableSource
from bertkit.model.config import BertConfig
from bertkit.pretrained.config_json import SINGLE_LABEL
from bertkit.tasks.contract import PLAIN, Definition, LossShape, Scorer, Task, TaskInstances
from bertkit.tasks.examples import cut_warnings
from bertkit.tasks.labelled import LabelledExamples, read_examples
from bertkit.tasks.metrics import CLASSIFICATION_METRICS
from bertkit.tasks.options import Columns
from bertkit.tasks.predictions import ClassPrediction, Prediction
from bertkit.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from bertkit.model import architectures as heads
else:
    torch = lazy_module("torch")
    heads = lazy_module("bertkit.model.architectures")


@dataclass(frozen=True, kw_only=True)
class TextTask(Task[LabelledExamples]):
    """What all kinds share that label a text or a pair of texts; an instance is a sequence.

    A kind of this form says `targets`, `loss`, `decode` and `scorer`.
    """

    architecture = "BertForSequenceClassification"

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
        """Read a table; see `read_examples`."""
        return read_examples(source, columns, split=split, where=where, labelled=labelled)

    def examples(self, given: Sequence[Any]) -> LabelledExamples:
        """Texts, or pairs of texts."""
        return LabelledExamples.unlabelled(given)

    @abstractmethod
    def targets(self, labels: Sequence[object], place: Callable[[int], str]) -> Tensor:
        """Labels as a table holds them to a tensor (N,); `InputError` names `place(index)` of a bad one."""

    def head(self, config: BertConfig) -> nn.Module:
        """Dropout and a linear layer: an output a class, or one where there are no classes."""
        return heads.sequence_head(config, len(self.classes or ("score",)))

    def encode(
        self, examples: LabelledExamples, tokenizer: Tokenizer, *, labelled: bool = True
    ) -> TaskInstances[LabelledExamples]:
        """A sequence an example, cut to `max_length` tokens."""
        targets = self.targets(examples.labels, examples.place) if labelled else None
        sequences = examples.encode(tokenizer, self.max_length)
        warnings = cut_warnings(
            sequences, examples.texts, examples.text_pairs, examples.places, tokenizer, self.max_length
        )
        return replace(TaskInstances.of_sequences(examples, sequences, targets), warnings=warnings)


@dataclass(frozen=True, kw_only=True)
class Classification(TextTask):
    """Cross-entropy over `classes`, whose order is the order of the outputs."""

    kind = "classification"
    problem_type = SINGLE_LABEL
    known_metrics = tuple(CLASSIFICATION_METRICS)
    known_loss_options = ("label_smoothing", "class_weights")

    classes: tuple[str, ...]
    metric_names: tuple[str, ...] = ("accuracy", "macro_f1")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.classes) < 2:
            only = ", ".join(self.classes)
            raise InputError(f"classification needs at least 2 labels, there is only {only!r}: check the label column")

    @classmethod
    def define(cls, train: LabelledExamples, given: Definition) -> Self:
        """The classes are those of the training labels."""
        return cls.of(given, classes=classes_of(train.labels, train.place))

    def targets(self, labels: Sequence[object], place: Callable[[int], str]) -> Tensor:
        """Places in `classes`, int64 (N,)."""
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
        return torch.nn.functional.cross_entropy(
            logits.float(),
            targets,
            weight=shape.class_weights,
            label_smoothing=shape.label_smoothing,
            reduction="sum",
        )

    def decode(self, logits: NDArray[np.float32], instances: TaskInstances[LabelledExamples]) -> list[Prediction]:
        """Softmax; of equal classes the first."""
        rows = softmax(logits).tolist()
        best = logits.argmax(-1).tolist()
        return [
            ClassPrediction(self.classes[place], dict(zip(self.classes, row, strict=True)))
            for place, row in zip(best, rows, strict=True)
        ]

    @property
    def scorer(self) -> Scorer[Classification]:
        """By the likeliest class."""
        return _ClassScorer(self)

    def strata(self, examples: LabelledExamples) -> Sequence[int]:
        """The classes."""
        places: list[int] = self.targets(examples.labels, examples.place).tolist()
        return places


class _ClassScorer(Scorer[Classification]):
    def figures(self, logits: Tensor, instances: TaskInstances[Any]) -> dict[str, float]:
        assert instances.targets is not None
        predictions, labels = logits.argmax(-1).numpy(), instances.targets.numpy()
        return {name: CLASSIFICATION_METRICS[name](predictions, labels) for name in self.task.metric_names}


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
        "`bertkit finetune --kind regression`, lists of labels for `--kind multi-label`"
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


BALANCED = "balanced"


def class_weights(wanted: Sequence[str], classes: Sequence[str], targets: Tensor) -> Tensor:
    """Weights (C,) from `balanced`, or from `CLASS=NUMBER` for some classes, the others having 1.

    Balanced, all classes weigh alike in sum (scikit-learn's rule). Either way the mean over `targets` (N,) is 1, those
    below 0 left out, so that weights change what is learnt from and not the size of a step. Raises `InputError`.
    """
    counts = torch.bincount(targets[targets >= 0], minlength=len(classes)).double()
    if tuple(wanted) == (BALANCED,):
        weights = torch.where(counts > 0, 1 / counts.clamp(min=1), 0.0)
        weights = torch.where(counts > 0, weights, weights.max())  # no example is there to weigh
    else:
        weights = _given(wanted, classes)
    return (weights * counts.sum() / (weights * counts).sum()).float()


def _given(wanted: Sequence[str], classes: Sequence[str]) -> Tensor:
    weights = torch.ones(len(classes), dtype=torch.float64)
    for text in wanted:
        name, equals, number = text.rpartition("=")
        if not equals or name not in classes:
            known = ", ".join(map(repr, classes[:10])) + (", …" if len(classes) > 10 else "")
            raise InputError(
                f"class_weights {text!r} is unknown: give balanced, or CLASS=NUMBER once for each class of {known}"
            )
        weights[list(classes).index(name)] = _weight(number, text)
    return weights


def _weight(number: str, text: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise InputError(f"class_weights {text!r} needs a number above 0 after the last '='")
    return weight
