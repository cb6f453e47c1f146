"""The training loop of pre-training and fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Generic

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertkit.core.console import ProgressBar, note, progress
from bertkit.core.devices import peak_memory, seed_torch
from bertkit.core.files import atomic_path, remove_leftovers
from bertkit.core.randomness import derive_key
from bertkit.training.checkpoint import Checkpoints, Progress
from bertkit.training.guard import StepGuard
from bertkit.training.metrics import Baselines, MetricsLog, StepProfile, read_metrics
from bertkit.training.optimizers import ParameterSchedule, new_optimizer
from bertkit.training.options import TrainingOptions
from bertkit.training.parallel import Replicas
from bertkit.training.schedule import RunProgress, TrainingResult
from bertkit.training.step import (
    MASKED_LM,
    MicroBatchT,
    Objective,
    StepFigures,
    StepSums,
    accumulate_gradients,
    halve_until_it_fits,
)

BEST_FILE = "best.safetensors"
_QUIET = (
    *("learning_rate", "gradient_norm", "seconds", "wall_seconds"),
    *("steps_not_finite", "steps_spiked"),
)


def train(
    objective: Objective[MicroBatchT],
    batches: Callable[[int, int], Iterator[Sequence[MicroBatchT]]],
    options: TrainingOptions,
    run: Path,
    *,
    replicas: Replicas | None = None,
    evaluate: Callable[[], Mapping[str, float]] | None = None,
    schedules: Mapping[str, ParameterSchedule] | None = None,
    clock: RunProgress | None = None,
    baselines: Baselines | None = None,
    profile: bool = False,
    description: str = "training",
) -> TrainingResult:
    """Train `objective.module` in place, going on from the newest checkpoint in `run` where there is one.

    `batches(start, stop)` yields the micro-batches of every step from `start` up to `stop`. A run that was killed and
    started again ends with the same bits as one that was not, unless it has a budget of time. With `options.select_by`
    the module holds the weights of the best evaluation in the end, otherwise those of the last step.

    With `replicas` of the module on several processes, `batches` are this one's share of every step. `schedules` are,
    by name, those of parameters that do not learn as the run does. `profile` records some early steps.
    """
    replicas = Replicas(objective.module) if replicas is None else replicas
    group = replicas.group
    assert options.select_by is None or group.size == 1
    clock = RunProgress(options, group) if clock is None else clock
    loop = _Loop(objective, options, run, replicas, clock, baselines or Baselines(), schedules)
    steps_before = loop.resume()
    objective.module.train()
    with (
        loop.checkpoints,
        MetricsLog(run, steps_before, group) as log,
        progress(description, clock.total, clock.unit, done=(shown := clock.done(steps_before))) as bar,
        StepProfile(run) if profile and group.is_main else nullcontext() as recorder,
    ):
        feed = batches(steps_before, clock.stop)
        loop.figures.start_clock()
        while not loop.is_out_of_patience and (share := clock.progress(loop.result.steps)) is not None:
            loop.step(next(feed), share)
            bar.advance(clock.done(loop.result.steps) - shown)
            shown = clock.done(loop.result.steps)
            if recorder is not None:
                recorder.step()
            loop.record(log, bar, evaluate, is_last=False)
        loop.record(log, bar, evaluate, is_last=True)
    if loop.is_out_of_patience:
        note(f"ended after step {loop.result.steps}: no better {options.select_by} in {options.patience} evaluations")
    if options.select_by is not None and loop.result.best:
        objective.module.load_state_dict(load_file(run / BEST_FILE))
    return loop.result


class _Loop(Generic[MicroBatchT]):
    """What the loop carries from step to step."""

    def __init__(
        self,
        objective: Objective[MicroBatchT],
        options: TrainingOptions,
        run: Path,
        replicas: Replicas,
        clock: RunProgress,
        baselines: Baselines,
        schedules: Mapping[str, ParameterSchedule] | None,
    ) -> None:
        from bertkit.recipes.pretrain_objective import UnigramPlateau  # noqa: PLC0415

        self.objective, self.options, self.run, self.replicas, self.clock = objective, options, run, replicas, clock
        self.group = replicas.group
        self.optimizer = new_optimizer(objective.module.named_parameters(), options.optimizer, schedules)
        self.joining = {name: pace.first_step for name, pace in (schedules or {}).items() if pace.first_step}
        self.guard = StepGuard(self.group, options.spike_deviations)
        self.checkpoints = Checkpoints(run / "checkpoints", options.keep_checkpoints, self.group)
        self.figures = StepFigures(baselines.matrix_peak)
        self.plateau = None if baselines.unigram_entropy is None else UnigramPlateau(baselines.unigram_entropy)
        self.result = TrainingResult()
        self.timed_until = self.logged_at = self.saved_at = 0
        self.rate = 0.0
        self.norm: Tensor | None = None

    def resume(self) -> int:
        """Load the newest whole checkpoint, if there is one; return how many steps it has."""
        with self.group.together():
            for folder in (self.run, self.run / "checkpoints") if self.group.is_main else ():
                remove_leftovers(folder)
        tensors = self._tensors()
        progress = self.checkpoints.load(tensors)
        if progress is None:
            return 0
        self.optimizer.load_state(tensors)
        self.guard.load_state(tensors)
        note(f"going on from step {progress.step} of {self.run}")
        self.result = TrainingResult(**progress.figures)
        self.clock.go_on(self.result)
        self.timed_until = self.logged_at = self.saved_at = progress.step
        if self.plateau is not None and self.group.is_main:
            for line in read_metrics(self.run):
                if line["kind"] == "train" and line["step"] <= progress.step:
                    self.plateau.see(int(line["step"]), line[f"{MASKED_LM}_loss"])
        return progress.step

    @property
    def is_out_of_patience(self) -> bool:
        """Whether evaluations have not got better for long enough."""
        patience = self.options.patience
        return patience is not None and self.result.since_best >= patience

    def step(self, micro_batches: Sequence[MicroBatchT], share: float) -> None:
        """Take the next step, when `share` of the run is over."""
        step = self.result.steps
        for name, first_step in self.joining.items():
            self.optimizer.parameters[name].requires_grad_(step >= first_step)
        sums = self._accumulate(step, micro_batches)
        self.rate = self.clock.rate(step, share)
        self.norm = self.optimizer.step(self.rate, partial(self.guard.veto, step, sums.loss))
        self.result.steps += 1
        self.result.tokens += sums.tokens

    def _accumulate(self, step: int, micro_batches: Sequence[MicroBatchT]) -> StepSums:
        def attempt(parts: Sequence[MicroBatchT]) -> StepSums:
            seed_torch(derive_key(self.options.seed, "step", step, self.group.rank))
            return accumulate_gradients(self.objective, parts, self.options, self.figures, self.replicas)

        sums, self.result.halvings = halve_until_it_fits(
            self.objective, micro_batches, self.result.halvings, self.group, attempt
        )
        return sums

    def record(
        self, log: MetricsLog, bar: ProgressBar, evaluate: Callable[[], Mapping[str, float]] | None, *, is_last: bool
    ) -> None:
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
            self._log(log, bar)
        if evaluates and evaluate is not None:
            self._evaluate(log, evaluate)
        if saves:
            self._save()
        self.figures.start_clock()

    def _log(self, log: MetricsLog, bar: ProgressBar) -> None:
        done = self.logged_at = self.result.steps
        assert self.norm is not None
        line = {"learning_rate": self.rate, "gradient_norm": float(self.norm), "seconds": self.result.seconds}
        line |= self.figures.take(self.group)
        with self.group.together():
            line |= self.guard.report(done, self.options.optimizer.learning_rate)
            log.write(done, "train", line)
            loss = line.get(f"{MASKED_LM}_loss")
            if self.plateau is not None and loss is not None and self.plateau.see(done, loss) and self.group.is_main:
                note(self.plateau.advice(done, loss))
                log.write(done, "stuck", {"masked_lm_loss": loss, "unigram_entropy": self.plateau.entropy})
        bar.describe(_summary(line))

    def _evaluate(self, log: MetricsLog, evaluate: Callable[[], Mapping[str, float]]) -> None:
        """Measure, and keep the weights where they are the best so far."""
        module, result, chosen = self.objective.module, self.result, self.options.select_by
        module.eval()
        with torch.no_grad():
            result.evaluation, result.evaluated_at = dict(evaluate()), result.steps
        module.train()
        result.since_best += 1
        if chosen is not None and (not result.best or result.evaluation[chosen] > result.best[chosen]):
            result.best, result.since_best = result.evaluation, 0
            with atomic_path(self.run / BEST_FILE) as path:
                save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)
        with self.group.together():
            times = {"seconds": result.seconds, "wall_seconds": self.clock.seconds()}
            log.write(result.steps, "evaluation", times | result.evaluation)
        note(f"step {result.steps}: {_summary(result.evaluation)}")

    def _save(self) -> None:
        self.saved_at = self.result.steps
        self.result.memory = max(self.result.memory, peak_memory(self.group.device))
        self.clock.note(self.result)
        self.checkpoints.save(self._tensors(), Progress(self.saved_at, asdict(self.result)))

    def _tensors(self) -> dict[str, Tensor]:
        return self.objective.module.state_dict() | self.optimizer.state() | self.guard.state()


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
