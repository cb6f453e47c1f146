"""The gradients of one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bertkit.foundation.devices import autocast
from bertkit.training.objective import LossTerm, MicroBatchT, Objective
from bertkit.training.options import TrainingOptions
from bertkit.training.replicas import Replicas
from bertkit.training.step_figures import StepFigures


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
