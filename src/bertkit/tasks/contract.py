"""What fine-tuning, evaluation and prediction need to know of a task."""
# B sequences, C outputs.

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from bertkit.foundation.errors import InputError
from bertkit.model.config import BertConfig
from bertkit.tasks.columns import Columns
from bertkit.tasks.prediction import Prediction


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A head, a loss, a decoder and metrics over the logits (B, C) of one sequence each."""

    kind: ClassVar[str]
    """Name of the family in `task.json`."""
    architecture: ClassVar[str]
    """Hugging Face's class for the model folder."""
    known_metrics: ClassVar[tuple[str, ...]]

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

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """C."""

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...] | None:
        """Names of the outputs, None where the output is a number."""

    @abstractmethod
    def head(self, config: BertConfig) -> nn.Module:
        """Make the module from pooled outputs (B, H) to logits (B, C)."""

    @abstractmethod
    def targets(self, labels: Sequence[object], place: Callable[[int], str]) -> Tensor:
        """Labels as a table holds them to a tensor (B,); `InputError` names `place(index)` of a bad one."""

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Sum over the examples, in float32."""

    @abstractmethod
    def correct(self, logits: Tensor, targets: Tensor) -> Tensor | None:
        """How many examples are right, None where that has no meaning."""

    @abstractmethod
    def decode(self, logits: Tensor) -> list[Prediction]:
        """Logits (B, C) to B predictions."""

    @abstractmethod
    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, float]:
        """The figures of `metric_names`, in their order."""

    def description(self) -> dict[str, Any]:
        """What `task.json` says; labels stand in `config.json`."""
        shared = {"max_length": self.max_length, "metrics": list(self.metric_names), "benchmark": self.benchmark}
        return {"kind": self.kind, **shared, "columns": asdict(self.columns)}
