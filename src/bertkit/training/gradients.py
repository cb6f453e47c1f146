"""The gradients of one step, in as many passes as memory asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bertkit.foundation.console import note
from bertkit.foundation.devices import autocast
from bertkit.foundation.errors import InputError, LoneInputError
from bertkit.training.objective import LossTerm, MicroBatchT, Objective
from bertkit.training.options import TrainingOptions
from bertkit.training.replicas import Replicas
from bertkit.training.step_figures import StepFigures

_TOO_LITTLE = "memory of {} does not hold {}: use a smaller --preset or --seq-length, or --activation-checkpointing"


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


def halved(objective: Objective[MicroBatchT], micro_batches: Sequence[MicroBatchT], times: int) -> list[MicroBatchT]:
    """Every micro-batch in up to 2 ** `times` parts."""
    parts = list(micro_batches)
    for _ in range(times):
        parts = [half for part in parts for half in objective.halves(part)]
    return parts


def make_room(objective: Objective[MicroBatchT], parts: Sequence[MicroBatchT], replicas: Replicas) -> None:
    """After a pass that memory did not hold: forget it; raises `InputError` where smaller parts would not help."""
    objective.module.zero_grad(set_to_none=True)
    torch.cuda.empty_cache()
    group = replicas.group
    largest = max(objective.tokens(part) for part in parts)
    what = f"{largest:,} tokens at once"
    if group.size > 1:  # the others have gone on and wait in this pass
        raise LoneInputError(f"the memory of {group.place}, does not hold {what}: lower --micro-batch-tokens")
    if all(len(objective.halves(part)) == 1 for part in parts):
        raise InputError(_TOO_LITTLE.format(f"the {group.device.type} device", what))
    note(f"the device's memory does not hold {what}: going on with half as many")
