"""What a family of tasks reads: an ordered set of examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Indices = Sequence[int] | NDArray[np.int64]


class Examples(Protocol):
    """N examples, with or without labels."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was found odd on reading, counted, a line each."""

    def __len__(self) -> int: ...

    def place(self, index: int) -> str:
        """File and row of an example, for messages."""

    def take(self, indices: Indices) -> Self:
        """The examples at `indices`, in that order."""

    def record(self, index: int) -> dict[str, Any]:
        """The example as a line of JSON shows it beside its prediction."""

    def marked_text(self, index: int) -> str:
        """The text in which a prediction's marks are places."""


class Record(Protocol):
    """One example of a family that has a type for it."""

    @property
    def place(self) -> str:
        """File and row."""

    @property
    def marked_text(self) -> str:
        """The text that spans are places in."""

    def record(self) -> dict[str, Any]:
        """What a line of JSON shows."""


RecordT = TypeVar("RecordT", bound=Record)


@dataclass(frozen=True)
class Records(Generic[RecordT]):
    """`Examples` whose every example is one object."""

    items: tuple[RecordT, ...]
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def place(self, index: int) -> str:
        """File and row of an example."""
        return self.items[index].place

    def take(self, indices: Indices) -> Self:
        """The examples at `indices`, in that order."""
        return replace(self, items=tuple(self.items[index] for index in indices))

    def record(self, index: int) -> dict[str, Any]:
        """What a line of JSON shows."""
        return self.items[index].record()

    def marked_text(self, index: int) -> str:
        """The text that spans are places in."""
        return self.items[index].marked_text
