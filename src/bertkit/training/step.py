"""The objective of a training step, its figures, and the retry of a step that memory does not hold."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, Self, TypeVar, cast

import torch
from torch import Tensor, nn

from bertkit.core.console import note
from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import MemoryLimitError, RankError
from bertkit.training.schedule import Unlogged


class MicroBatch(Protocol):
    """Part of a step's batch that goes through the model at once."""

    def to(self, device: torch.device) -> Self:
        """Copy to a device."""


class Splittable(Protocol):
    """A micro-batch of an objective with `may_split`."""

    def halved(self) -> Sequence[Self]:
        """The first and the last half; a batch of one sequence stays as it is."""


MicroBatchT = TypeVar("MicroBatchT", bound=MicroBatch)
_MicroBatchT_contra = TypeVar("_MicroBatchT_contra", bound=MicroBatch, contravariant=True)
OutputsT = TypeVar("OutputsT")
T = TypeVar("T")


class LossTerm(NamedTuple):
    """Loss summed over a micro-batch's items (scalar), and how many of them were predicted right, or None."""

    # A tuple, because DDP and FSDP look for the tensors of a forward pass in tuples and dictionaries.
    total: Tensor
    correct: Tensor | None = None
    weight: float = 1.0
    """Scales the term in the loss of the step, not in its figures."""
    has_perplexity: bool = False
    """Whether the exponential of its mean is logged as `perplexity`."""

    def detach(self) -> LossTerm:
        """The same without a graph behind it."""
        return self._replace(total=self.total.detach())


class Objective(Protocol[_MicroBatchT_contra, OutputsT]):
    """The loss of a step is the sum over terms of weight * (sum over the whole batch's items) / (their count).

    `outputs` runs the model, `terms` computes the losses from its outputs. A loss that compares the outputs with a
    teacher's, or with those of the batch's other items, replaces `terms` only.
    """

    @property
    def module(self) -> nn.Module:
        """What is trained."""

    @property
    def may_split(self) -> bool:
        """Whether a micro-batch may be cut in halves (see `Splittable`) where memory does not hold it.

        False where its items need one another, as in-batch negatives do.
        """

    def counts(self, micro_batch: _MicroBatchT_contra) -> Mapping[str, int]:
        """Items of each term, known before the forward pass."""

    def tokens(self, micro_batch: _MicroBatchT_contra) -> int:
        """Tokens that go through the encoder."""

    def flops(self, micro_batch: _MicroBatchT_contra) -> float:
        """Floating-point operations of forward and backward that the model needs."""

    def outputs(self, micro_batch: _MicroBatchT_contra) -> OutputsT:
        """Forward pass of `module` on its device."""

    def terms(self, micro_batch: _MicroBatchT_contra, outputs: OutputsT) -> Mapping[str, LossTerm]:
        """Terms of the loss, by name."""


class Halving(Generic[MicroBatchT, OutputsT]):
    """Runs a step, and runs it again with its micro-batches in halves where the device's memory does not hold them."""

    def __init__(self, objective: Objective[MicroBatchT, OutputsT], group: ProcessGroup, times: int = 0) -> None:
        self._objective, self._group = objective, group
        self.times = times
        """How often micro-batches are halved, from the start: what memory did not hold once it is not asked again."""

    def run(self, micro_batches: Sequence[MicroBatchT], step: Callable[[Sequence[MicroBatchT]], T]) -> T:
        """What `step` returns; it must change nothing before memory has held all of its passes.

        Raises `MemoryLimitError` where smaller parts are not possible.
        """
        while True:
            parts = self._halved(micro_batches)
            try:
                return step(parts)
            except torch.OutOfMemoryError:
                pass  # the error holds on to tensors
            self._make_room(parts)
            self.times += 1

    def _halved(self, micro_batches: Sequence[MicroBatchT]) -> list[MicroBatchT]:
        """Every micro-batch in up to 2 ** `times` parts."""
        parts = list(micro_batches)
        for _ in range(self.times):
            parts = [half for part in parts for half in self._halves(part)]
        return parts

    def _halves(self, micro_batch: MicroBatchT) -> Sequence[MicroBatchT]:
        if not self._objective.may_split:
            return [micro_batch]
        return cast("Sequence[MicroBatchT]", cast("Splittable", micro_batch).halved())

    def _make_room(self, parts: Sequence[MicroBatchT]) -> None:
        """Forget a pass that memory did not hold."""
        self._objective.module.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        what = f"{max(self._objective.tokens(part) for part in parts):,} tokens at once"
        is_whole = all(len(self._halves(part)) == 1 for part in parts)
        if self._group.size > 1:  # the others wait in the next exchange
            remedy = "add --activation-checkpointing" if is_whole else "lower --micro-batch-tokens"
            raise RankError(f"the memory of {self._group.place}, does not hold {what}: {remedy}")
        if not self._objective.may_split:
            raise MemoryLimitError(
                f"the memory of the {self._group.device.type} device does not hold {what}, and this batch may not be "
                "split: lower --micro-batch-tokens or --batch-size, or use a smaller model"
            )
        if is_whole:
            raise MemoryLimitError.on(self._group.device.type, what)
        note(f"the device's memory does not hold {what}: continuing with half as many")


_LARGEST_EXPONENT = 700.0
"""Beyond it a float64 overflows."""


class StepFigures(Generic[MicroBatchT, OutputsT]):
    """Collects losses, right answers, tokens and time; tensors are read only when `take` is called.

    `matrix_peak`, in operations/s of all processes, is what the model's own are compared with.
    """

    def __init__(self, objective: Objective[MicroBatchT, OutputsT], matrix_peak: float | None = None) -> None:
        self._objective, self._matrix_peak = objective, matrix_peak
        self._since = time.perf_counter()
        self._clear()

    def _clear(self) -> None:
        self._totals: dict[str, Tensor | float] = {}
        self._correct: dict[str, Tensor | float] = {}
        self._counts: dict[str, int] = defaultdict(int)
        self._perplexity_of: str | None = None
        self._tokens, self._flops, self._seconds, self._steps = 0, 0.0, 0.0, 0

    def add(self, micro_batch: MicroBatchT, terms: Mapping[str, LossTerm]) -> None:
        """Add the loss terms of a micro-batch."""
        counts = self._objective.counts(micro_batch)
        for name, term in terms.items():
            self._totals[name] = self._totals[name] + term.total if name in self._totals else term.total
            if term.correct is not None:
                self._correct[name] = self._correct[name] + term.correct if name in self._correct else term.correct
            if term.has_perplexity:
                self._perplexity_of = name
            self._counts[name] += counts[name]
        self._tokens += self._objective.tokens(micro_batch)
        self._flops += self._objective.flops(micro_batch)

    def start_clock(self) -> None:
        """Count time from here on."""
        self._since = time.perf_counter()

    def stop_clock(self, steps: int, last: Tensor) -> float:
        """Add `steps` and the time since the clock was started, once the device has computed `last`; return it."""
        last.item()
        seconds = time.perf_counter() - self._since
        self._seconds, self._steps = self._seconds + seconds, self._steps + steps
        return seconds

    def unlogged(self) -> Unlogged:
        """All that `take` has not taken yet."""
        return Unlogged(
            losses={name: float(total) for name, total in self._totals.items()},
            correct={name: float(right) for name, right in self._correct.items()},
            counts=dict(self._counts),
            perplexity_of=self._perplexity_of,
            tokens=self._tokens,
            flops=self._flops,
            seconds=self._seconds,
            steps=self._steps,
        )

    def resume(self, everyone: Sequence[Unlogged], group: ProcessGroup) -> None:
        """Take over what the processes had; of another number of processes the first one takes over all."""
        own = [everyone[group.rank]] if len(everyone) == group.size else everyone if group.is_main else ()
        for one in own:
            for sums, more in ((self._totals, one.losses), (self._correct, one.correct)):
                for name, value in more.items():
                    sums[name] = sums.get(name, 0.0) + value
            for name, count in one.counts.items():
                self._counts[name] += count
            self._perplexity_of = one.perplexity_of or self._perplexity_of
            self._tokens, self._flops = self._tokens + one.tokens, self._flops + one.flops
        if own:  # the time is this process's alone
            self._seconds, self._steps = own[0].seconds, own[0].steps

    def take(self, group: ProcessGroup) -> dict[str, float]:
        """`X_loss` and `X_accuracy` of every term, the perplexity of the one that has it, and rates; then start over.

        All over the processes of `group`, but for the time, which is this one's.
        """
        figures = {}
        totals = group.sum({name: float(total) for name, total in self._totals.items()})
        correct = group.sum({name: float(right) for name, right in self._correct.items()})
        work = group.sum({"tokens": self._tokens, "flops": self._flops})
        for name, count in group.sum(self._counts).items():
            figures[f"{name}_loss"] = totals[name] / max(1, count)
            if name in correct:
                figures[f"{name}_accuracy"] = correct[name] / max(1, count)
        if self._perplexity_of is not None:
            figures["perplexity"] = math.exp(min(figures[f"{self._perplexity_of}_loss"], _LARGEST_EXPONENT))
        if self._steps:
            figures["seconds_per_step"] = self._seconds / self._steps
            figures["tokens_per_second"] = work["tokens"] / self._seconds
            figures["flops_per_second"] = work["flops"] / self._seconds
            if self._matrix_peak is not None:
                figures["share_of_matrix_peak"] = figures["flops_per_second"] / self._matrix_peak
        self._clear()
        return figures
