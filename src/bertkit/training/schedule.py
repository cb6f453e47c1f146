"""The learning rate over a run, how far a run is in steps or in time, and what it came to."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from bertkit.core.console import format_duration
from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import InputError
from bertkit.core.records import Amount, Count
from bertkit.training.options import OptimizerOptions, TrainingOptions


def learning_rate(step: int, steps: int, options: OptimizerOptions) -> float:
    """Rate of `step` (from 0) of `steps`; as in google-research/bert the steps of warm-up are rounded down."""
    return _rate(step / steps, int(options.warmup_share * steps) / steps, options)


def rate_at(progress: float, options: OptimizerOptions) -> float:
    """Rate when the share `progress` of a run is over, of its steps or of its time; beyond 1 it is that at the end."""
    return _rate(min(progress, 1.0), options.warmup_share, options)


def _rate(progress: float, warmup_share: float, options: OptimizerOptions) -> float:
    if progress < warmup_share:
        return options.learning_rate * (progress / warmup_share)
    match options.schedule:
        case "linear":
            # Counted from the start, as in google-research/bert: the rate drops a little where warm-up ends.
            fallen = progress
        case "one-cycle":
            fallen = (progress - warmup_share) / (1 - warmup_share)
        case "trapezoidal":
            fallen = max(0.0, 1 - (1 - progress) / options.decay_share)
            if options.decay_shape == "1-sqrt":
                fallen = math.sqrt(fallen)
    return options.learning_rate * (1 - fallen * (1 - options.final_share))


class ShortBudgetError(InputError):
    """Says where the time goes: to what is `prepared` before the first step, and to a `step`, in seconds."""

    def __init__(self, budget: float, *, prepared: float, step: float = 0.0) -> None:
        why = f"{prepared:.1f} s to prepare, {step:.1f} s a step"
        if prepared >= budget:
            why = f"preparations alone took {prepared:.1f} s"
        super().__init__(
            f"budget {format_duration(budget)} is too short for one step ({why}): "
            "give more, or a smaller batch or model"
        )


@dataclass(frozen=True, kw_only=True)
class Unlogged:
    """What one process has counted since the last line of `metrics.jsonl`."""

    losses: dict[str, float] = field(default_factory=dict)
    """Sums, by the term of the loss."""
    correct: dict[str, float] = field(default_factory=dict)
    counts: dict[str, Count] = field(default_factory=dict)
    perplexity_of: str | None = None
    """The term that has one."""
    tokens: Count = 0
    flops: Amount = 0.0
    seconds: Amount = 0.0
    steps: Count = 0


@dataclass
class TrainingResult:
    """Over all starts of a run; every checkpoint holds it."""

    steps: Count = 0
    tokens: Count = 0
    """Of all processes."""
    seconds: Amount = 0.0
    """Of training alone, evaluations left out."""
    evaluation: dict[str, float] = field(default_factory=dict)
    """Figures of the last evaluation."""
    evaluated_at: Count = 0
    """Its step."""
    best: dict[str, float] = field(default_factory=dict)
    """Figures of the best one."""
    since_best: Count = 0
    """Evaluations after it."""
    halvings: Count = 0
    """How often micro-batches were halved because memory did not hold them."""
    memory: Count = 0
    """Bytes that the first process has held at the most."""
    clock_seconds: Amount = 0.0
    """Of everything since the run was started, which a budget counts."""
    first_step_at: Amount | None = None
    """Of these, the ones before the first step."""
    milestones: list[Count] = field(default_factory=list)
    """Steps with which the run reached its clock's milestones."""
    unlogged: list[Unlogged] = field(default_factory=list)
    """By process, so that the curves of a resumed run are those of one that was not stopped."""


_REMEMBERED = 8
"""Steps whose times tell how long the next one takes."""


class RunProgress:
    """Says before every step how far the run is, in all processes alike: the first one's time counts.

    `started` is when this start of the run began, by `time.perf_counter`. A budget runs from there, but the schedule
    only from the first step on, so that preparations take nothing from warm-up. A resumed run counts the seconds that
    its checkpoint had used.

    `milestones` are shares of the run, ascending. `milestone_steps` are the steps that reach them: all of them where
    the run has a number of steps, else those that it has come to, `lead` steps late, as batches are made ahead.
    """

    def __init__(
        self,
        options: TrainingOptions,
        group: ProcessGroup,
        *,
        started: float | None = None,
        milestones: Sequence[float] = (),
        lead: int = 0,
    ) -> None:
        self._options, self._group, self._milestones, self._lead = options, group, milestones, lead
        self._started = time.perf_counter() if started is None else started
        self._before = 0.0
        self._last: float | None = None
        self._durations: deque[float] = deque(maxlen=_REMEMBERED)
        self._first_step_at: float | None = None
        self.has_begun = False
        """Whether a step is done, in a time that holds it."""
        steps = options.steps
        self.milestone_steps = [] if steps is None else [math.ceil(share * steps - 1e-9) for share in milestones]

    @property
    def stop(self) -> int:
        """A step that the run does not reach."""
        return sys.maxsize if self._options.steps is None else self._options.steps

    @property
    def total(self) -> float:
        """Steps of the run, or seconds."""
        steps, budget = self._options.steps, self._options.budget_seconds
        assert steps is not None or budget is not None
        return steps if steps is not None else budget or 0.0

    @property
    def unit(self) -> str:
        """What `total` counts."""
        return "s" if self._options.steps is None else "steps"

    def done(self, steps: int) -> float:
        """How much of `total` is over after so many steps."""
        return self.seconds() if self._options.steps is None else steps

    def seconds(self) -> float:
        """Since the run was started, those between its starts left out."""
        return self._before + time.perf_counter() - self._started

    def resume(self, result: TrainingResult) -> None:
        """Take over what a checkpoint says."""
        self._before, self._first_step_at = result.clock_seconds, result.first_step_at
        if self._options.steps is None:
            self.milestone_steps[:] = result.milestones

    def note(self, result: TrainingResult) -> None:
        """Write into what a checkpoint will hold."""
        result.clock_seconds, result.first_step_at = self.seconds(), self._first_step_at
        result.milestones = list(self.milestone_steps)

    def progress(self, step: int) -> float | None:
        """Share of the run that is over in the middle of `step` (with a number of steps: when it begins).

        None where no step is left. Raises `ShortBudgetError` where a budget does not hold one.
        """
        if self._options.steps is not None:
            self.has_begun = step > 0
            return step / self._options.steps if step < self._options.steps else None
        share = self._share_of_time(step, *self._read())
        self.has_begun = step > 0
        if share is not None:
            while len(self.milestone_steps) < len(self._milestones):
                if share < self._milestones[len(self.milestone_steps)]:
                    break
                self.milestone_steps.append(step + self._lead)
        return share

    def rate(self, step: int, progress: float) -> float:
        """Learning rate of a step."""
        if self._options.steps is not None:
            return learning_rate(step, self._options.steps, self._options.optimizer)
        return rate_at(progress, self._options.optimizer)

    def _read(self) -> tuple[float, float]:
        """The first process's seconds, and those that a step takes."""
        now = self._group.gather_counts([round(self.seconds() * 1e6)])[0][0] / 1e6
        if self._last is not None:
            self._durations.append(now - self._last)
        self._last = now
        return now, min(self._durations, default=0.0)  # the shortest: there are evaluations between some

    def _share_of_time(self, step: int, now: float, step_seconds: float) -> float | None:
        budget = self._options.budget_seconds
        assert budget is not None
        if self._first_step_at is None:
            self._first_step_at = now
        if step == 0 and now >= budget:
            raise ShortBudgetError(budget, prepared=now)
        if step == 1 and now > budget + step_seconds / 2:
            raise ShortBudgetError(budget, prepared=self._first_step_at, step=step_seconds)
        if step > 0 and now + step_seconds / 2 >= budget:
            return None
        return min(1.0, (now + step_seconds / 2 - self._first_step_at) / (budget - self._first_step_at))
