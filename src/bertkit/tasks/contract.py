"""What fine-tuning, evaluation and prediction need to know of a task."""
# N examples, I instances, S sequences, T tokens, R rows of output (S or T), C outputs, H hidden.

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Self

from torch import Tensor, nn

from bertkit.data.tables import TableSource
from bertkit.foundation.errors import InputError
from bertkit.model.config import BertConfig
from bertkit.tasks.columns import Columns
from bertkit.tasks.instances import ExamplesT, TaskInstances
from bertkit.tasks.loss_shape import PLAIN, LossShape
from bertkit.tasks.prediction import Prediction
from bertkit.tasks.task_options import TaskOptions
from bertkit.text.tokenizer import Tokenizer


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
