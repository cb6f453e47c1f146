"""What a kind of task must say, and the values that pass between it, training, evaluation and inference."""
# N examples, I instances, S sequences, T tokens, R rows of output (S or T), C outputs, H hidden.

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from bertkit.core.errors import InputError, not_finite
from bertkit.core.lazy import lazy_module
from bertkit.core.records import from_json
from bertkit.data.readers.tables import TableSource
from bertkit.model.config import BertConfig
from bertkit.tasks.examples import Examples
from bertkit.tasks.options import Columns, TaskOptions
from bertkit.tasks.predictions import Prediction
from bertkit.text.sequences import EncodedExample
from bertkit.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")  # inference needs none of it

ExamplesT = TypeVar("ExamplesT", bound=Examples)

IGNORED = -100
"""Target of what the loss does not count: pieces within a word, questions whose answers are not in the context."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskInstances(Generic[ExamplesT]):
    """An instance is what is trained on as one: a text, a window of a long text, or all choices of a question.

    It owns the rows of the model's output that its sequences have: one each where the head reads the pooled output,
    one a token where it reads all tokens.
    """

    examples: ExamplesT
    sequences: Sequence[EncodedExample]
    """(S,)"""
    owners: NDArray[np.int64]
    """(I,) place of each instance's example; an example's instances stand together."""
    bounds: NDArray[np.int64]
    """(I + 1,) instance i has the sequences from `bounds[i]` up to `bounds[i + 1]`, which stay in one batch."""
    reads_tokens: bool = False
    """Whether the rows are the sequences' tokens."""
    text_starts: NDArray[np.int64] | None = None
    """(S,) first token of the text that answers come from, None where there is none."""
    scored: NDArray[np.bool_] | None = None
    """(R,) the rows that speak for their example, None where all do."""
    targets: Tensor | None = None
    """(I, ...), or (R, ...) where every row has one; None where the examples have no labels."""
    has_row_targets: bool = False
    warnings: tuple[str, ...] = ()
    """What was found odd on encoding, counted, a line each."""

    @classmethod
    def of_sequences(
        cls, examples: ExamplesT, sequences: Sequence[EncodedExample], targets: Tensor | None
    ) -> TaskInstances[ExamplesT]:
        """One sequence an example."""
        count = len(sequences)
        owners, bounds = np.arange(count), np.arange(count + 1)
        return cls(examples=examples, sequences=sequences, owners=owners, bounds=bounds, targets=targets)

    def __len__(self) -> int:
        return len(self.owners)

    @property
    def all_warnings(self) -> tuple[str, ...]:
        """Those of reading and of encoding."""
        return self.examples.warnings + self.warnings

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(S,) tokens of each sequence."""
        return np.fromiter((len(sequence) for sequence in self.sequences), np.int64, len(self.sequences))

    @property
    def sequence_rows(self) -> NDArray[np.int64]:
        """(S,) rows of each sequence."""
        return self.lengths if self.reads_tokens else np.ones_like(self.lengths)

    def check_finite(self, outputs: NDArray[np.float32]) -> None:
        """Raise `InputError`, with the place of the example, where outputs (R, C) are NaN or infinite."""
        broken = np.flatnonzero(~np.isfinite(outputs).all(-1))
        if len(broken):
            instance = np.searchsorted(self.row_bounds, broken[0], side="right") - 1
            raise not_finite(self.examples.place(int(self.owners[instance])))

    @cached_property
    def row_bounds(self) -> NDArray[np.int64]:
        """(I + 1,) instance i owns the rows from `row_bounds[i]` up to `row_bounds[i + 1]`."""
        return self.token_bounds if self.reads_tokens else self.bounds

    @cached_property
    def token_bounds(self) -> NDArray[np.int64]:
        """(I + 1,) where each instance's tokens start."""
        starts: NDArray[np.int64] = np.concatenate([[0], np.cumsum(self.lengths)])[self.bounds]
        return starts


@dataclass(frozen=True, kw_only=True, eq=False)
class LossShape:
    """What changes a cross-entropy, in the form of `torch.nn.CrossEntropyLoss`; nothing by default."""

    label_smoothing: float = 0.0
    """Share of a target's probability that all classes get alike (Szegedy et al. 2016, section 7)."""
    class_weights: Tensor | None = None
    """(C,) factors of the losses of each class's examples."""

    def to(self, device: torch.device) -> LossShape:
        """The same on a device."""
        weights = self.class_weights
        return replace(self, class_weights=None if weights is None else weights.to(device))


PLAIN = LossShape()


Length = Annotated[int, Meta(ge=3, le=1 << 24)]
"""Tokens of a sequence; [CLS], a token and [SEP] at least."""

TaskT = TypeVar("TaskT", bound="Task[Any]")


class Scorer(ABC, Generic[TaskT]):
    """What predictions are worth, and what those are worth that need no model: the measure of having learnt anything.

    By default a prediction is the highest output of each row, and a target its place.
    """

    def __init__(self, task: TaskT) -> None:
        self.task = task

    @abstractmethod
    def figures(self, logits: Tensor, instances: TaskInstances[Any]) -> Mapping[str, float]:
        """The task's `metric_names` of logits (R, C), and others that come with them."""

    def scores(self, logits: Tensor, instances: TaskInstances[Any]) -> dict[str, float]:
        """The task's `metric_names`, in their order."""
        figures = self.figures(logits, instances)
        return {name: figures[name] for name in self.task.metric_names}

    def correct(self, logits: Tensor, targets: Tensor, bounds: Tensor) -> Tensor | None:
        """How many terms of the loss are right, None where that has no meaning."""
        return (logits.argmax(-1) == targets).sum()

    def constants(self, instances: TaskInstances[Any]) -> Iterable[Tensor]:
        """Logits (R, C) of predictions that do not depend on the texts: every output for all rows."""
        rows, outputs = int(instances.row_bounds[-1]), len(self.task.classes or ())
        return (one_hot.expand(rows, outputs) for one_hot in torch.eye(outputs))

    def right(self, instances: TaskInstances[Any]) -> Tensor:
        """Logits (R, C) of predictions that are all right; rows without a target have any."""
        assert instances.targets is not None
        return torch.eye(len(self.task.classes or ()))[instances.targets.clamp(min=0)]

    def chance(self, instances: TaskInstances[Any]) -> dict[str, float]:
        """The highest of each figure over the `constants`; no higher, a model has learnt nothing."""
        found = [self.scores(logits, instances) for logits in self.constants(instances)]
        return {name: max(scores[name] for scores in found) for name in self.task.metric_names}

    def perfect(self, instances: TaskInstances[Any]) -> dict[str, float]:
        """The figures of predictions that are all right."""
        return self.scores(self.right(instances), instances)


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a task is defined by beside its training examples, whatever its kind."""

    max_length: int
    """Tokens of the longest sequence, special ones counted."""
    columns: Columns
    options: TaskOptions = field(default_factory=TaskOptions)
    metric_names: tuple[str, ...] | None = None
    """None takes the kind's own."""
    benchmark: str | None = None


@dataclass(frozen=True, kw_only=True)
class Task(ABC, Generic[ExamplesT]):
    """A kind of task: how examples become sequences with targets, and what the model's outputs (R, C) mean.

    A kind says seven things: `read`, `examples`, `encode`, `head`, `loss`, `decode` and `scorer`; everything else has a
    default. Kinds on a table of texts derive from `classification.TextTask`, which leaves four. An instance of the task
    owns a run of rows: one where it is a sequence and the head reads the pooled output, one a choice, or one a token.
    """

    kind: ClassVar[str]
    """Its name in `task.json`, on the command line and in the table of `kinds.py`."""
    architecture: ClassVar[str]
    """Hugging Face's class for the model folder."""
    problem_type: ClassVar[str | None] = None
    """Hugging Face's name for what the outputs of `BertForSequenceClassification` mean."""
    known_metrics: ClassVar[tuple[str, ...]]
    reads_tokens: ClassVar[bool] = False
    """Whether the head takes all hidden states (T, H), or the pooled ones (S, H)."""
    usual_max_length: ClassVar[int] = 128
    usual_columns: ClassVar[Columns] = Columns()
    known_columns: ClassVar[tuple[str, ...]] = ("text", "text_pair", "label")
    """Those of `Columns` that it reads."""
    known_options: ClassVar[tuple[str, ...]] = ()
    """Those of `TaskOptions` that it takes, each a field of the task."""
    known_loss_options: ClassVar[tuple[str, ...]] = ()
    """What may change its loss: `label_smoothing`, `class_weights`."""

    max_length: Length
    """Tokens of the longest sequence, special ones counted."""
    metric_names: Annotated[tuple[str, ...], Meta(min_length=1)]
    """The first one decides which weights are best."""
    columns: Columns = field(default_factory=Columns)
    """Where the training table had its texts and labels."""
    benchmark: str | None = None
    """Row of the benchmark table that the task came from."""
    classes: tuple[str, ...] | None = None
    """Names of the outputs, None where they have none."""

    def __post_init__(self) -> None:
        for name in self.metric_names:
            if name not in self.known_metrics:
                raise InputError(f"{self.kind} has no metric {name!r}: use one of {', '.join(self.known_metrics)}")

    # What a kind must say.

    @classmethod
    @abstractmethod
    def read(
        cls,
        source: TableSource,
        columns: Columns,
        *,
        split: str = "train",
        where: tuple[str, str] | None = None,
        labelled: bool = True,
    ) -> ExamplesT:
        """Read a file in one of the kind's layouts; `split` is for hub data sets, `where` keeps some rows.

        Raises `InputError` for what cannot be read and, if `labelled`, for a file without labels.
        """

    @abstractmethod
    def examples(self, given: Sequence[Any]) -> ExamplesT:
        """Unlabelled examples of what a caller hands over; `InputError` names the place of a bad one."""

    @abstractmethod
    def encode(self, examples: ExamplesT, tokenizer: Tokenizer, *, labelled: bool = True) -> TaskInstances[ExamplesT]:
        """Sequences and, if `labelled`, targets; `InputError` names the place of a bad label."""

    @abstractmethod
    def head(self, config: BertConfig) -> nn.Module:
        """Make the module from pooled outputs (S, H), or from all tokens (T, H), to logits (R, C)."""

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor, bounds: Tensor, shape: LossShape = PLAIN) -> Tensor:
        """Sum over what `count` counts, in float32; instance b owns rows `bounds[b]` (B + 1,) up to the next.

        `shape` differs from the plain one only in `known_loss_options`.
        """

    @abstractmethod
    def decode(self, logits: NDArray[np.float32], instances: TaskInstances[ExamplesT]) -> list[Prediction]:
        """Logits (R, C) to a prediction for each of the N examples."""

    @property
    @abstractmethod
    def scorer(self) -> Scorer[Any]:
        """Measures `metric_names`."""

    # What a kind may say.

    @classmethod
    def define(cls, train: ExamplesT, given: Definition) -> Self:
        """The task that training examples define; a kind with classes finds them here."""
        return cls.of(given)

    @classmethod
    def of(cls, given: Definition, **own: Any) -> Self:
        """A task with what `given` says for its kind, and fields of the kind's `own`, which override it."""
        shared: dict[str, Any] = {name: getattr(given, name) for name in ("max_length", "columns", "benchmark")}
        if given.metric_names is not None:
            shared["metric_names"] = given.metric_names
        shared |= {name: getattr(given.options, name) for name in cls.known_options}
        return cls(**{**shared, **own})

    @classmethod
    def has_own_layout(cls, path: Path) -> bool:
        """Whether a file is neither a table nor a text a line, but in a layout that only `read` knows."""
        return False

    @property
    def summary(self) -> str:
        """What is predicted, in two words."""
        return self.kind if self.classes is None else f"{len(self.classes)} classes"

    def is_one(self, given: object) -> bool:
        """Whether `given` is a single thing to predict from, and not several."""
        return isinstance(given, str)

    def parse_line(self, line: str) -> object:
        """What a line of text hands over: the line, or its parts between tabs."""
        return line

    def start(self, head: nn.Module, train: TaskInstances[ExamplesT]) -> None:
        """Fit the drawn weights of a new `head` to the training examples; by default they stay as they are."""

    def count(self, targets: Tensor) -> int:
        """Terms of the loss."""
        return len(targets)

    @property
    def is_tunable(self) -> bool:
        """Whether `tuned` has something to choose."""
        return False

    def tuned(self, logits: Tensor, instances: TaskInstances[ExamplesT]) -> Self:
        """The task with what is chosen on dev examples, such as a threshold."""
        return self

    def groups(self, examples: ExamplesT) -> Sequence[int] | None:
        """(N,) numbers from 0; examples of one group share a text and are held out together. None for no groups."""
        return None

    def strata(self, examples: ExamplesT) -> Sequence[int]:
        """(N,) numbers; what is held out has its share of each."""
        return [0] * len(examples)

    # What `task.json` says.

    @classmethod
    def restore(cls, description: Mapping[str, Any], classes: tuple[str, ...] | None) -> Self:
        """The task of a `task.json` and of a `config.json`'s labels; raises `InputError` for something else."""
        known = {entry.name: description[entry.name] for entry in fields(cls) if entry.name in description}
        if "metrics" in description:
            known["metric_names"] = description["metrics"]
        return from_json(cls, {**known, "classes": classes})

    def description(self) -> dict[str, Any]:
        """What `task.json` says; the classes are in `config.json`."""
        described = {"kind": self.kind, **asdict(self), "metrics": list(self.metric_names)}
        del described["metric_names"], described["classes"]
        return described
