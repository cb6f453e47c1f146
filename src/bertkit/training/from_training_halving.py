"""Micro-batches in parts that memory holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from bertkit.foundation.console import note
from bertkit.foundation.errors import LoneInputError, MemoryLimitError
from bertkit.foundation.process_group import ProcessGroup
from bertkit.training.objective import MicroBatchT, Objective

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
        raise LoneInputError(f"the memory of {group.place}, does not hold {what}: {remedy}")
    if whole:
        raise MemoryLimitError(group.device.type, what)
    note(f"the device's memory does not hold {what}: going on with half as many")
