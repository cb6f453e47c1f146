"""- Task (5 to 8 abstract members), LossOptions, TaskInstances."""
# N examples, I instances, S sequences, R rows of the model's output.
# C classes.
# N examples, I instances, S sequences, T tokens, R rows of output (S or T), C outputs, H hidden.

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bertkit.core.errors import InputError
from bertkit.data.readers.tables import TableSource
from bertkit.model.config import BertConfig
from bertkit.tasks.examples import Examples
from bertkit.tasks.options import Columns, TaskOptions
from bertkit.tasks.predictions import Prediction
from bertkit.text.sequences import EncodedExample
from bertkit.text.tokenizer import Tokenizer

ExamplesT = TypeVar("ExamplesT", bound=Examples)


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


@dataclass(frozen=True, kw_only=True)
class Task(ABC, Generic[ExamplesT]):
    """How examples become sequences with targets, and what the model's outputs (R, C) mean.

    An instance of the task owns a run of rows: one where it is a sequence and the head reads the pooled output, one a
    choice, or one a token.
    """

    kind: ClassVar[str]
    """Name of the family, in `task.json` and on the command line."""
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
    """Those of `TaskOptions` that it heeds."""
    smooths_labels: ClassVar[bool] = False
    """Whether the loss is a cross-entropy whose targets can be smoothed."""

    max_length: int
    """Tokens of the longest sequence, special ones counted."""
    metric_names: tuple[str, ...]
    """The first one decides which weights are best."""
    columns: Columns = field(default_factory=Columns)
    """Where the training table had its texts and labels."""
    benchmark: str | None = None
    """Row of the benchmark table that the task came from."""

    def __post_init__(self) -> None:
        for name in self.metric_names:
            if name not in self.known_metrics:
                raise InputError(f"{self.kind} has no metric {name!r}: use one of {', '.join(self.known_metrics)}")

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
        """Read a file in one of the family's layouts; `split` is for hub data sets, `where` keeps some rows.

        Raises `InputError` for what cannot be read and, if `labelled`, for a file without labels.
        """

    @classmethod
    def has_own_layout(cls, path: Path) -> bool:
        """Whether a file is neither a table nor a text a line, but in a layout that only `read` knows."""
        return False

    @classmethod
    @abstractmethod
    def define(
        cls,
        train: ExamplesT,
        options: TaskOptions,
        *,
        max_length: int,
        metric_names: tuple[str, ...] | None,
        columns: Columns,
        benchmark: str | None,
    ) -> Self:
        """The task that training examples define; `metric_names` None takes the family's own."""

    @classmethod
    def restore(cls, description: Mapping[str, Any], labels: tuple[str, ...] | None) -> Self:
        """The task of a `task.json` and of a `config.json`'s labels; `KeyError` or `TypeError` for something else."""
        known = {entry.name: description[entry.name] for entry in fields(cls) if entry.name in description}
        known["max_length"] = description["max_length"]
        if "metrics" in description:
            known["metric_names"] = tuple(description["metrics"])
        if "columns" in description:
            known["columns"] = Columns.restore(description["columns"])
        if labels is not None:
            known["classes"] = labels
        return cls(**known)

    def description(self) -> dict[str, Any]:
        """What `task.json` says; labels stand in `config.json`."""
        described = {"kind": self.kind, **asdict(self), "metrics": list(self.metric_names)}
        del described["metric_names"]
        described.pop("classes", None)
        return described

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...] | None:
        """Names of the outputs, None where they have none."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """What is predicted, in two words."""

    @abstractmethod
    def head(self, config: BertConfig) -> nn.Module:
        """Make the module from pooled outputs (S, H), or from all tokens (T, H), to logits (R, C)."""

    def is_one(self, given: object) -> bool:
        """Whether `given` is a single thing to predict from, and not several."""
        return isinstance(given, str)

    def parse_line(self, line: str) -> object:
        """What a line of text hands over: the line, or what its tabs part."""
        return line

    @abstractmethod
    def examples(self, given: Sequence[Any]) -> ExamplesT:
        """Unlabelled examples of what a caller hands over; `InputError` names the place of a bad one."""

    @abstractmethod
    def encode(self, examples: ExamplesT, tokenizer: Tokenizer, *, labelled: bool = True) -> TaskInstances[ExamplesT]:
        """Sequences and, if `labelled`, targets; `InputError` names the place of a bad label."""

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor, bounds: Tensor, shape: LossShape = PLAIN) -> Tensor:
        """Sum over what `count` counts, in float32; instance b owns rows `bounds[b]` (B + 1,) up to the next.

        `shape` may differ from the plain one as far as the family has `labels` to weigh and `smooths_labels`.
        """

    def count(self, targets: Tensor) -> int:
        """Terms of the loss."""
        return len(targets)

    @abstractmethod
    def correct(self, logits: Tensor, targets: Tensor, bounds: Tensor) -> Tensor | None:
        """How many terms are right, None where that has no meaning."""

    @abstractmethod
    def decode(self, logits: Tensor, instances: TaskInstances[ExamplesT]) -> list[Prediction]:
        """Logits (R, C) to a prediction for each of the N examples."""

    @abstractmethod
    def metrics(self, logits: Tensor, instances: TaskInstances[ExamplesT]) -> dict[str, float]:
        """The figures of `metric_names`, in their order."""

    @abstractmethod
    def chance(self, instances: TaskInstances[ExamplesT]) -> dict[str, float]:
        """The highest figures of predictions that do not depend on the texts; no higher, a model has learnt nothing."""

    @abstractmethod
    def perfect(self, instances: TaskInstances[ExamplesT]) -> dict[str, float]:
        """The figures of predictions that are all right."""

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
