"""What a step minimises: sums over items of a micro-batch, so that any split of a batch gives the same loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from torch import Tensor, nn

MicroBatchT = TypeVar("MicroBatchT")


@dataclass(frozen=True)
class LossTerm:
    """Loss summed over a micro-batch's items (scalar), how many of them were predicted right, or None.

    `weight` scales the term in the loss of the step, not in its figures.
    """

    total: Tensor
    correct: Tensor | None = None
    weight: float = 1.0

    def detach(self) -> LossTerm:
        """The same without a graph behind it."""
        return replace(self, total=self.total.detach())


class Objective(Protocol[MicroBatchT]):
    """The loss of a step is the sum over terms of weight * (sum over the whole batch's items) / (their count)."""

    @property
    def module(self) -> nn.Module:
        """What is trained."""

    def counts(self, micro_batch: MicroBatchT) -> Mapping[str, int]:
        """Items of each term, known before the forward pass."""

    def tokens(self, micro_batch: MicroBatchT) -> int:
        """Tokens that go through the encoder."""

    def flops(self, micro_batch: MicroBatchT) -> float:
        """Floating-point operations of forward and backward that the model needs."""

    def halves(self, micro_batch: MicroBatchT) -> Sequence[MicroBatchT]:
        """The micro-batch cut in two, or as it is where it cannot be cut."""

    def terms(self, micro_batch: MicroBatchT, model: nn.Module) -> Mapping[str, LossTerm]:
        """Run the forward pass of `model`, which is `module` or stands for it among several processes."""
