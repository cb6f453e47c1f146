"""The training loop of pre-training and fine-tuning."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bertkit.foundation.console import note, progress
from bertkit.foundation.devices import autocast, seed_torch
from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_path, remove_leftovers
from bertkit.foundation.process_group import ProcessGroup
from bertkit.foundation.randomness import derive_key
from bertkit.training.checkpoint import Checkpoints, Progress
from bertkit.training.metrics_log import MetricsLog
from bertkit.training.objective import MicroBatchT_contra, Objective
from bertkit.training.optimizer import Optimizer
from bertkit.training.optimizers import new_optimizer
from bertkit.training.options import TrainingOptions
from bertkit.training.replicas import Replicas
from bertkit.training.schedule import learning_rate
from bertkit.training.step_figures import StepFigures

_BEST_FILE = "best.safetensors"


@dataclass
class TrainingResult:
    """Figures of the last and of the best evaluation, and the seconds spent over all restarts."""

    evaluation: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def train(
    objective: Objective[MicroBatchT_contra],
    batches: Callable[[int, int], Iterator[Sequence[MicroBatchT_contra]]],
    options: TrainingOptions,
    run: Path,
    *,
    replicas: Replicas | None = None,
    evaluate: Callable[[], Mapping[str, float]] | None = None,
    description: str = "training",
) -> TrainingResult:
    """Train `objective.module` in place, going on from the newest checkpoint in `run` where there is one.

    `batches(start, stop)` yields the micro-batches of every step from `start` up to `stop`. A run that was killed and
    started again ends with the same bits as one that was not. With `options.select_by` the module holds the weights
    of the best evaluation in the end, otherwise those of the last step.

    With `replicas` of the module on several processes, `batches` are this one's share of every step.
    """
    module = objective.module
    replicas = Replicas(module) if replicas is None else replicas
    group = replicas.group
    assert options.select_by is None or group.size == 1
    optimizer = new_optimizer(module.named_parameters(), options.optimizer)
    checkpoints = Checkpoints(run / "checkpoints", options.keep_checkpoints, group)
    first_step, result = _resume(module, optimizer, run, checkpoints, group)
    figures = StepFigures()
    module.train()
    with (
        checkpoints,
        MetricsLog(run, first_step, group) as log,
        progress(description, options.steps, "steps", done=first_step) as bar,
    ):
        clock = time.perf_counter()
        for step, micro_batches in enumerate(batches(first_step, options.steps), first_step):
            seed_torch(derive_key(options.seed, "step", step, group.rank))
            rate = learning_rate(step, options.steps, options.optimizer)
            accumulate_gradients(objective, micro_batches, options, figures, replicas)
            norm = optimizer.step(rate)
            figures.add_seconds(time.perf_counter() - clock)
            result.seconds += time.perf_counter() - clock
            clock = time.perf_counter()

            done = step + 1
            last = done == options.steps
            bar.advance()
            if done % options.log_every == 0 or last:
                line = {"learning_rate": rate, "gradient_norm": float(norm), "seconds": result.seconds}
                line |= figures.take(group)
                with group.together():
                    if not math.isfinite(line["gradient_norm"]):
                        raise InputError(
                            f"training diverged by step {done}: lower learning_rate {options.optimizer.learning_rate}"
                        )
                    log.write(done, "train", line)
                bar.describe(_summary(line))
            if evaluate is not None and (done % options.evaluate_every == 0 or last):
                _evaluate(module, evaluate, options, run, result)
                with group.together():
                    log.write(done, "evaluation", {"seconds": result.seconds} | result.evaluation)
                note(f"step {done}: {_summary(result.evaluation)}")
            if done % options.checkpoint_every == 0 or last:
                checkpoints.save(module.state_dict() | optimizer.state(), Progress(done, asdict(result)))
            clock = time.perf_counter()
    if options.select_by is not None and result.best:
        module.load_state_dict(load_file(run / _BEST_FILE))
    return result


def accumulate_gradients(
    objective: Objective[MicroBatchT_contra],
    micro_batches: Sequence[MicroBatchT_contra],
    options: TrainingOptions,
    figures: StepFigures,
    replicas: Replicas,
) -> None:
    """Add up the gradients of one step, whose loss does not depend on how its batch is cut, nor on the processes."""
    device = next(objective.module.parameters()).device
    names = list(objective.counts(micro_batches[0]))
    own = [sum(objective.counts(micro_batch)[name] for micro_batch in micro_batches) for name in names]
    everyone = replicas.group.gather_counts([len(micro_batches), *own])
    turns = max(passes for passes, *_ in everyone)
    in_batch = {name: sum(counts[place] for counts in everyone) for place, name in enumerate(names, 1)}
    for micro_batch, factor in replicas.turns(micro_batches, turns):
        with autocast(options.precision, device):
            terms = objective.terms(micro_batch, replicas.model)
            losses = [term.weight * term.total / max(1, in_batch[name]) for name, term in terms.items()]
            loss = torch.stack(losses).sum()
        (factor * loss).backward()  # type: ignore[no-untyped-call]
        if factor:
            figures.add(objective, micro_batch, terms)


def _resume(
    module: nn.Module, optimizer: Optimizer, run: Path, checkpoints: Checkpoints, group: ProcessGroup
) -> tuple[int, TrainingResult]:
    """Load the newest whole checkpoint, if there is one; return the first step to take and the figures so far."""
    with group.together():
        for folder in (run, run / "checkpoints") if group.leads else ():
            remove_leftovers(folder)
    tensors = module.state_dict() | optimizer.state()
    progress = checkpoints.load(tensors)
    if progress is None:
        return 0, TrainingResult()
    optimizer.load_state(tensors)
    note(f"going on from step {progress.step} of {run}")
    return progress.step, TrainingResult(**progress.figures)


def _evaluate(
    module: nn.Module,
    evaluate: Callable[[], Mapping[str, float]],
    options: TrainingOptions,
    run: Path,
    result: TrainingResult,
) -> None:
    """Fill in `result` and keep the weights where they are the best so far."""
    module.eval()
    with torch.no_grad():
        result.evaluation = dict(evaluate())
    module.train()
    chosen = options.select_by
    if chosen is None:
        return
    if not result.best or result.evaluation[chosen] > result.best[chosen]:
        result.best = result.evaluation
        with atomic_path(run / _BEST_FILE) as path:
            save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)


def _summary(figures: Mapping[str, float]) -> str:
    """The figures that a person follows, in one line."""
    parts = []
    for name, value in figures.items():
        if name == "flops_per_second":
            parts.append(f"{value / 1e9:.0f} GFLOP/s")
        elif name == "tokens_per_second":
            parts.append(f"{value:,.0f} tokens/s")
        elif name not in ("learning_rate", "gradient_norm", "seconds"):
            parts.append(f"{name} {value:.4g}")
    return ", ".join(parts)
