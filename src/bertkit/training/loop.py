"""The training loop of every kind of training: what a step does, from its batch to its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from typing import Generic

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertkit.core.console import ProgressBar, note, progress
from bertkit.core.devices import autocast, full_memory_named, peak_memory, seed_torch
from bertkit.core.errors import InputError
from bertkit.core.files import atomic_path, remove_leftovers
from bertkit.core.randomness import derive_key
from bertkit.core.records import from_json
from bertkit.training.checkpoint import Checkpoints, Progress
from bertkit.training.guard import StepGuard, check_evaluation
from bertkit.training.metrics import MetricsLog, StepProfile
from bertkit.training.optimizers import ParameterSchedule, new_optimizer
from bertkit.training.options import TrainingOptions
from bertkit.training.parallel import Replicas
from bertkit.training.run_folder import RunFolder
from bertkit.training.schedule import RunProgress, TrainingResult
from bertkit.training.step import Halving, LossTerm, MicroBatchT, Objective, OutputsT, StepFigures


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What a watch has to say of a run."""

    message: str
    """One line for a person."""
    kind: str
    """Of the line in `metrics.jsonl` that records it."""
    figures: Mapping[str, float]
    """Of that line."""


Watch = Callable[[int, Mapping[str, float | None]], Advice | None]
"""Called with every step that is logged and its figures, of which one that is not finite may be None.

A run that is resumed first shows it the lines of `metrics.jsonl`, and passes over what it says of them.
"""


def train(
    objective: Objective[MicroBatchT, OutputsT],
    batches: Callable[[int, int], Iterator[Sequence[MicroBatchT]]],
    options: TrainingOptions,
    run: RunFolder,
    *,
    replicas: Replicas[MicroBatchT, OutputsT] | None = None,
    evaluate: Callable[[], Mapping[str, float]] | None = None,
    schedules: Mapping[str, ParameterSchedule] | None = None,
    clock: RunProgress | None = None,
    watch: Watch | None = None,
    matrix_peak: float | None = None,
    profile: bool = False,
    description: str = "training",
) -> TrainingResult:
    """Train `objective.module` in place, from the newest checkpoint in `run` on where there is one.

    `batches(start, stop)` yields the micro-batches of every step from `start` up to `stop`. A run that was killed and
    started again ends with the same bits as one that was not, unless it has a budget of time. With `options.select_by`
    the module holds the weights of the best evaluation in the end, otherwise those of the last step.

    With `replicas` of the objective on several processes, `batches` are this one's share of every step. `schedules`
    are, by name, those of parameters that do not learn as the run does. `watch` may advise on the course of the run.
    `matrix_peak` is what the operations/s of all processes are compared with. `profile` records some early steps.
    """
    replicas = Replicas(objective) if replicas is None else replicas
    group = replicas.group
    assert options.select_by is None or group.size == 1
    clock = RunProgress(options, group) if clock is None else clock
    loop = _Loop(objective, options, run, replicas, clock, evaluate, schedules, watch, matrix_peak)
    steps_before = loop.resume()
    objective.module.train()
    with (
        loop.checkpoints,
        MetricsLog(run, steps_before, group) as log,
        progress(description, clock.total, clock.unit, done=clock.done(steps_before)) as bar,
        StepProfile(run.profile) if profile and group.is_main else nullcontext() as recorder,
    ):
        loop.run_steps(batches(steps_before, clock.stop), log, bar, recorder)
    if loop.is_out_of_patience:
        note(f"ended after step {loop.result.steps}: no better {options.select_by} in {options.patience} evaluations")
    if options.select_by is not None and loop.result.best:
        objective.module.load_state_dict(load_file(run.best_weights))
    return loop.result


class _Loop(Generic[MicroBatchT, OutputsT]):
    """What the loop carries from step to step."""

    def __init__(
        self,
        objective: Objective[MicroBatchT, OutputsT],
        options: TrainingOptions,
        run: RunFolder,
        replicas: Replicas[MicroBatchT, OutputsT],
        clock: RunProgress,
        evaluate: Callable[[], Mapping[str, float]] | None,
        schedules: Mapping[str, ParameterSchedule] | None,
        watch: Watch | None,
        matrix_peak: float | None,
    ) -> None:
        self.objective, self.options, self.run, self.replicas, self.clock = objective, options, run, replicas, clock
        self.evaluate, self.group = evaluate, replicas.group
        self.watch = watch if self.group.is_main else None
        self.optimizer = new_optimizer(objective.module.named_parameters(), options.optimizer, schedules)
        self.guard = StepGuard(self.group, options.spike_deviations)
        self.halving = Halving(objective, self.group)
        self.checkpoints = Checkpoints(run.checkpoints, options.keep_checkpoints, self.group)
        self.figures = StepFigures(objective, matrix_peak)
        self.result = TrainingResult()
        self.timed_until = self.logged_at = self.saved_at = 0
        self.rate = 0.0
        self.norm: Tensor | None = None

    def run_steps(
        self, feed: Iterator[Sequence[MicroBatchT]], log: MetricsLog, bar: ProgressBar, recorder: StepProfile | None
    ) -> None:
        """Take one step after the other until the run is over."""
        result, shown = self.result, self.clock.done(self.result.steps)
        self.figures.start_clock()
        while not self.is_out_of_patience and (share := self.clock.progress(result.steps)) is not None:
            micro_batches = next(feed)
            self.halving.run(micro_batches, partial(self.step, share))  # again in halves where memory is too small
            result.steps += 1
            bar.advance(self.clock.done(result.steps) - shown)
            shown = self.clock.done(result.steps)
            if recorder is not None:
                recorder.step()
            self.record(log, bar, is_last=False)
        with self.group.together():
            self.guard.check_end(result.steps, self.options.optimizer.learning_rate)
        self.record(log, bar, is_last=True)

    def step(self, share: float, micro_batches: Sequence[MicroBatchT]) -> None:
        """Forward and backward of every micro-batch, and one update, when `share` of the run is over.

        Nothing that lasts changes before the update, so that the step may be done again with smaller micro-batches;
        they would not make the update smaller.
        """
        step, group = self.result.steps, self.group
        seed_torch(derive_key(self.options.seed, "step", step, group.rank))
        self.optimizer.unfreeze(step)
        passes = accumulate_gradients(self.objective, micro_batches, self.options, self.replicas)
        self.norm = self.optimizer.gradient_norm()
        skip = self.guard.veto(step, passes.loss, self.norm)
        self.rate = self.clock.rate(step, share)
        with full_memory_named(group.device):
            self.optimizer.update(self.rate, self.norm, skip)  # clips to max_grad_norm
        self.result.tokens += passes.tokens
        for micro_batch, terms in passes.terms:
            self.figures.add(micro_batch, terms)

    def record(self, log: MetricsLog, bar: ProgressBar, *, is_last: bool) -> None:
        """Log, evaluate and save where it is time to, or where the run ends."""
        options, done = self.options, self.result.steps
        logs = done > self.logged_at and (is_last or done % options.log_every == 0)
        evaluates = done > self.result.evaluated_at and (is_last or done % options.evaluate_every == 0)
        saves = done > self.saved_at and (is_last or done % options.checkpoint_every == 0)
        if not (logs or evaluates or saves):
            return
        if self.norm is not None:
            self.result.seconds += self.figures.stop_clock(done - self.timed_until, self.norm)
            self.timed_until = done
        if logs:
            self.log(log, bar)
        if evaluates and self.evaluate is not None:
            self.measure(log, self.evaluate)
        if saves:
            self.save()
        self.figures.start_clock()

    @property
    def is_out_of_patience(self) -> bool:
        """Whether evaluations have not got better for long enough."""
        patience = self.options.patience
        return patience is not None and self.result.since_best >= patience

    def log(self, log: MetricsLog, bar: ProgressBar) -> None:
        """Write what the steps since the last line came to, and show it to the watch."""
        done = self.logged_at = self.result.steps
        assert self.norm is not None
        line = {"learning_rate": self.rate, "gradient_norm": float(self.norm), "seconds": self.result.seconds}
        line |= self.figures.take(self.group)
        with self.group.together():
            line |= self.guard.report(done, self.options.optimizer.learning_rate)
            log.write(done, "train", line)
            if self.watch is not None and (advice := self.watch(done, line)) is not None:
                note(f"step {done}: {advice.message}")
                log.write(done, advice.kind, advice.figures)
        bar.describe(_summary(line))

    def measure(self, log: MetricsLog, evaluate: Callable[[], Mapping[str, float]]) -> None:
        """Evaluate, and keep the weights where they are the best so far."""
        module, result, chosen = self.objective.module, self.result, self.options.select_by
        module.eval()
        with torch.no_grad():
            result.evaluation, result.evaluated_at = dict(evaluate()), result.steps
        module.train()
        with self.group.together():
            check_evaluation(result.steps, result.evaluation, self.options.optimizer.learning_rate)
        result.since_best += 1
        if chosen is not None and (not result.best or result.evaluation[chosen] > result.best[chosen]):
            result.best, result.since_best = result.evaluation, 0
            with atomic_path(self.run.best_weights) as path:
                save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)
        with self.group.together():
            times = {"seconds": result.seconds, "wall_seconds": self.clock.seconds()}
            log.write(result.steps, "evaluation", times | result.evaluation)
        note(f"step {result.steps}: {_summary(result.evaluation)}")

    def save(self) -> None:
        """Write a checkpoint, in the background."""
        self.saved_at = self.result.steps
        self.result.memory = max(self.result.memory, peak_memory(self.group.device))
        self.result.halvings = self.halving.times
        self.result.unlogged = self.group.gather(self.figures.unlogged())
        self.clock.note(self.result)
        self.checkpoints.save(self.state(), Progress(self.saved_at, asdict(self.result)))

    def resume(self) -> int:
        """Load the newest whole checkpoint, if there is one; return how many steps it has."""
        with self.group.together():
            for folder in (self.run.path, self.run.checkpoints) if self.group.is_main else ():
                remove_leftovers(folder)
        tensors = self.state()
        found = self.checkpoints.load(tensors)
        if found is None:
            return 0
        self.optimizer.load_state(tensors)
        self.guard.load_state(tensors)
        note(f"resuming {self.run.path} from step {found.step}")
        try:
            self.result = from_json(TrainingResult, found.figures)
        except InputError as error:
            raise InputError(f"{self.run.checkpoints}: progress {error}: start again with --no-resume") from None
        self.halving.times = self.result.halvings
        self.clock.resume(self.result)
        self.figures.resume(self.result.unlogged, self.group)
        self.timed_until = self.logged_at = self.saved_at = found.step
        if self.watch is not None:
            for line in self.run.read_metrics():
                if line["kind"] == "train" and line["step"] <= found.step:
                    self.watch(int(line["step"]), line)
        return found.step

    def state(self) -> dict[str, Tensor]:
        """The tensors of a checkpoint."""
        return self.objective.module.state_dict() | self.optimizer.state() | self.guard.state()


@dataclass(frozen=True)
class Passes(Generic[MicroBatchT]):
    """What the forward and backward passes of a step came to."""

    loss: Tensor
    """This process's share of the loss of the step (scalar)."""
    tokens: int
    """Of all processes."""
    terms: Sequence[tuple[MicroBatchT, Mapping[str, LossTerm]]]
    """Of this process's micro-batches, without a graph behind them."""


def accumulate_gradients(
    objective: Objective[MicroBatchT, OutputsT],
    micro_batches: Sequence[MicroBatchT],
    options: TrainingOptions,
    replicas: Replicas[MicroBatchT, OutputsT],
) -> Passes[MicroBatchT]:
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
            terms = replicas.terms(micro_batch.to(device))
            losses = [term.weight * term.total / max(1, in_batch[name]) for name, term in terms.items()]
            loss = torch.stack(losses).sum()
        (factor * loss).backward()  # type: ignore[no-untyped-call]
        if factor:
            share += loss.detach()
            seen.append((micro_batch, {name: term.detach() for name, term in terms.items()}))
    return Passes(share, sum(counts[1] for counts in everyone), seen)


_QUIET = (
    *("learning_rate", "gradient_norm", "seconds", "wall_seconds"),
    *("steps_not_finite", "steps_spiked"),
)


def _summary(figures: Mapping[str, float]) -> str:
    """The figures that a person follows, in one line."""
    parts = []
    for name, value in figures.items():
        if name == "seconds_per_step":
            parts.append(f"{value:.3g} s/step")
        elif name == "flops_per_second":
            parts.append(f"{value / 1e9:.0f} GFLOP/s")
        elif name == "tokens_per_second":
            parts.append(f"{value:,.0f} tokens/s")
        elif name == "share_of_matrix_peak":
            parts.append(f"{value:.0%} of the matrix peak")
        elif name not in _QUIET:
            parts.append(f"{name} {value:.4g}")
    return ", ".join(parts)
