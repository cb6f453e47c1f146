"""Examples as a task's model reads them, and what it should say of them."""
# N examples, I instances, S sequences, R rows of the model's output.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bertkit.tasks.examples import Examples
from bertkit.text.encoded_example import EncodedExample

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
    remarks: tuple[str, ...] = ()
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
    def all_remarks(self) -> tuple[str, ...]:
        """Those of reading and of encoding."""
        return self.examples.remarks + self.remarks

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
