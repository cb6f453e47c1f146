"""- Objective, gradient sums, retry on out-of-memory, sums since the last log line."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from bertkit.core.console import note
from bertkit.core.devices import autocast
from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import MemoryLimitError, RankError
from bertkit.training.options import TrainingOptions
from bertkit.training.parallel import Replicas

MASKED_LM = "masked_lm"

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


_LARGEST_EXPONENT = 700.0
"""Beyond it a float64 overflows."""


class StepFigures:
    """Collects losses, right answers, tokens and time; tensors are read only when `take` is called.

    `matrix_peak`, in operations/s of all processes, is what the model's own are held against.
    """

    def __init__(self, matrix_peak: float | None = None) -> None:
        self._matrix_peak = matrix_peak
        self._since = time.perf_counter()
        self._clear()

    def _clear(self) -> None:
        self._totals: dict[str, Tensor] = {}
        self._correct: dict[str, Tensor] = {}
        self._counts: dict[str, int] = defaultdict(int)
        self._tokens, self._flops, self._seconds, self._steps = 0, 0.0, 0.0, 0

    def add(self, objective: Objective[MicroBatchT], micro_batch: MicroBatchT, terms: Mapping[str, LossTerm]) -> None:
        """Add what came out of a micro-batch."""
        counts = objective.counts(micro_batch)
        for name, term in terms.items():
            self._totals[name] = self._totals[name] + term.total if name in self._totals else term.total
            if term.correct is not None:
                self._correct[name] = self._correct[name] + term.correct if name in self._correct else term.correct
            self._counts[name] += counts[name]
        self._tokens += objective.tokens(micro_batch)
        self._flops += objective.flops(micro_batch)

    def start_clock(self) -> None:
        """Count time from here on."""
        self._since = time.perf_counter()

    def stop_clock(self, steps: int, last: Tensor) -> float:
        """Add `steps` and the time since the clock was started, once the device has computed `last`; return it."""
        last.item()
        seconds = time.perf_counter() - self._since
        self._seconds, self._steps = self._seconds + seconds, self._steps + steps
        return seconds

    def take(self, group: ProcessGroup) -> dict[str, float]:
        """`X_loss` and `X_accuracy` of every term, the masked LM's perplexity, and rates; then start over.

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
        if MASKED_LM in totals:
            figures["perplexity"] = math.exp(min(figures[f"{MASKED_LM}_loss"], _LARGEST_EXPONENT))
        if self._steps:
            figures["seconds_per_step"] = self._seconds / self._steps
            figures["tokens_per_second"] = work["tokens"] / self._seconds
            figures["flops_per_second"] = work["flops"] / self._seconds
            if self._matrix_peak is not None:
                figures["share_of_matrix_peak"] = figures["flops_per_second"] / self._matrix_peak
        self._clear()
        return figures


@dataclass(frozen=True)
class StepSums:
    """This process's share of the loss of a step (scalar), and the tokens of all processes."""

    loss: Tensor
    tokens: int


def accumulate_gradients(
    objective: Objective[MicroBatchT],
    micro_batches: Sequence[MicroBatchT],
    options: TrainingOptions,
    figures: StepFigures,
    replicas: Replicas,
) -> StepSums:
    """Add up the gradients of one step, whose loss does not depend on how its batch is cut, nor on the processes."""
    device = next(objective.module.parameters()).device
    names = list(objective.counts(micro_batches[0]))
    own = [sum(objective.counts(micro_batch)[name] for micro_batch in micro_batches) for name in names]
    tokens = sum(objective.tokens(micro_batch) for micro_batch in micro_batches)
    everyone = replicas.group.gather_counts([len(micro_batches), tokens, *own])
    turns = max(passes for passes, *_ in everyone)
    in_batch = {name: sum(counts[place] for counts in everyone) for place, name in enumerate(names, 2)}
    seen: list[tuple[MicroBatchT, Mapping[str, LossTerm]]] = []
    share = torch.zeros((), device=device)
    for micro_batch, factor in replicas.turns(micro_batches, turns):
        with autocast(options.precision, device):
            terms = objective.terms(micro_batch, replicas.model)
            losses = [term.weight * term.total / max(1, in_batch[name]) for name, term in terms.items()]
            loss = torch.stack(losses).sum()
        (factor * loss).backward()  # type: ignore[no-untyped-call]
        if factor:
            share += loss.detach()
            seen.append((micro_batch, {name: term.detach() for name, term in terms.items()}))
    for micro_batch, terms in seen:
        figures.add(objective, micro_batch, terms)
    return StepSums(share, sum(counts[1] for counts in everyone))


T = TypeVar("T")


def halve_until_it_fits(
    objective: Objective[MicroBatchT],
    micro_batches: Sequence[MicroBatchT],
    halvings: int,
    group: ProcessGroup,
    attempt: Callable[[list[MicroBatchT]], T],
) -> tuple[T, int]:
    """What `attempt` returns for the micro-batches halved `halvings` times, or more often where memory asks for it.

    With it comes how often that was. Raises `MemoryLimitError` where smaller parts would not help.
    """
    while True:
        parts = _halved(objective, micro_batches, halvings)
        try:
            return attempt(parts), halvings
        except torch.OutOfMemoryError:
            pass  # the error holds on to tensors
        _make_room(objective, parts, group)
        halvings += 1


def _halved(objective: Objective[MicroBatchT], micro_batches: Sequence[MicroBatchT], times: int) -> list[MicroBatchT]:
    """Every micro-batch in up to 2 ** `times` parts."""
    parts = list(micro_batches)
    for _ in range(times):
        parts = [half for part in parts for half in objective.halves(part)]
    return parts


def _make_room(objective: Objective[MicroBatchT], parts: Sequence[MicroBatchT], group: ProcessGroup) -> None:
    """Forget a pass that memory did not hold."""
    objective.module.zero_grad(set_to_none=True)
    torch.cuda.empty_cache()
    largest = max(objective.tokens(part) for part in parts)
    what = f"{largest:,} tokens at once"
    whole = all(len(objective.halves(part)) == 1 for part in parts)
    if group.size > 1:  # the others have gone on and wait in this pass
        remedy = "add --activation-checkpointing" if whole else "lower --micro-batch-tokens"
        raise RankError(f"the memory of {group.place}, does not hold {what}: {remedy}")
    if whole:
        raise MemoryLimitError.on(group.device.type, what)
    note(f"the device's memory does not hold {what}: going on with half as many")
