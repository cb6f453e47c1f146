"""What a pre-training run will cost and come to, estimated before it begins, and what it came to."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bertkit.core.arguments import checked
from bertkit.core.console import counted, format_duration, note
from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import MemoryLimitError
from bertkit.core.machine import tune_allocator
from bertkit.core.records import Amount, Count, Figure, read_record, write_record
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.instances.stages import BatchPhase
from bertkit.model.config import BertConfig
from bertkit.recipes.options import MachineCost, PretrainOptions
from bertkit.recipes.pretrain_model import init_from_corpus
from bertkit.recipes.pretrain_setup import PretrainSetup
from bertkit.recipes.step_cost import StepCost, measure_step
from bertkit.training.run_folder import RunFolder, as_yaml
from bertkit.training.schedule import ShortBudgetError, TrainingResult

_GAIN = 0.5
_FIRST_TOKENS = 75_000
"""Fitted to the run of docs/results.md, whose evaluations from 0.5 to 3.8 million tokens it meets to 0.06."""

RULE = f"unigram entropy - {_GAIN} ln(1 + tokens / {_FIRST_TOKENS:,}), fitted to runs of `mini` on 0.5 to 4 M tokens"


def expected_loss(options: PretrainOptions, unigram_entropy: float, tokens: float) -> float | None:
    """Masked-LM loss after so many tokens, or None where nothing like it was measured.

    A run that starts from random weights stays at the unigram entropy for millions of tokens, and how many is not
    known before; only those with informed initial weights learn from the start.
    """
    if options.initial_weights != "informed":
        return None
    return unigram_entropy - _GAIN * math.log1p(tokens / _FIRST_TOKENS)


@dataclass(frozen=True)
class RunCost:
    """Of a run in `stages` whose usual sequences have up to `seq_length` tokens.

    Longer sequences are taken to be filled as well, and to cost as much a token.
    """

    stages: Sequence[BatchPhase]
    cost: StepCost
    seq_length: int

    def first_step(self) -> float:
        """Its seconds."""
        return self.cost.seconds(self._tokens(self.stages[0]))

    def seconds(self, steps: int) -> float:
        """Of a run of so many steps, whose stages are shares of them."""
        return sum(share * steps * self.cost.seconds(tokens) for share, tokens in self._parts())

    def within(self, seconds: float) -> tuple[float, float]:
        """Steps and tokens of a run of so many seconds, whose stages are shares of its time."""
        steps = [(share * seconds / self.cost.seconds(tokens), tokens) for share, tokens in self._parts()]
        return sum(count for count, _ in steps), sum(count * tokens for count, tokens in steps)

    def _parts(self) -> Iterator[tuple[float, float]]:
        """Each stage's share of the run, and the tokens of its steps."""
        ends = [*(stage.start for stage in self.stages[1:]), 1.0]
        for stage, end in zip(self.stages, ends, strict=True):
            yield end - stage.start, self._tokens(stage)

    def _tokens(self, stage: BatchPhase) -> float:
        return stage.batch_size * self.cost.tokens_per_sequence * stage.seq_length / self.seq_length


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """What a run comes to: estimated, or actual."""

    steps: Count
    tokens: Count
    loss: Figure | None
    """Held out; None where none was estimated."""
    memory: Count
    """Bytes at the most."""
    kilowatt_hours: Amount | None
    price: Amount | None

    def figures(self) -> dict[str, str]:
        """Those that are known, as they are shown, by name."""
        figures = {"steps": f"{self.steps:,}", "tokens": f"{self.tokens:,}"}
        if self.loss is not None:
            figures["held-out loss"] = f"{self.loss:.3f}"
        figures["memory"] = f"{self.memory / 2**20:,.0f} MiB"
        if self.kilowatt_hours is not None:
            figures["energy"] = f"{self.kilowatt_hours:.3g} kWh"
        if self.price is not None:
            figures["price"] = f"{self.price:.2f}"
        return figures

    def describe(self) -> str:
        """In one line."""
        return ", ".join(f"{name} {value}" for name, value in self.figures().items())


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of a run with a budget, for one size of its model."""

    size: str
    parameters: int
    batch_size: int
    seconds: float
    """The budget."""
    steps: int
    tokens: int
    corpus_tokens: int
    loss: float | None
    memory: int
    """Bytes."""

    def describe(self) -> str:
        """In one line."""
        return f"{self.size}: {self.tokens:,} tokens for {self.parameters:,} parameters"

    def outcome(self, machine: MachineCost) -> RunOutcome:
        """What the run is compared with in the end."""
        return RunOutcome(
            steps=self.steps,
            tokens=self.tokens,
            loss=self.loss,
            memory=self.memory,
            kilowatt_hours=machine.kilowatt_hours(self.seconds),
            price=machine.price(self.seconds),
        )

    def lines(self, machine: MachineCost) -> list[str]:
        """For a person."""
        energy, price = machine.kilowatt_hours(self.seconds), machine.price(self.seconds)
        loss = (
            "not estimated, as it is for informed initial weights alone"
            if self.loss is None
            else f"{self.loss:.2f} held out ({RULE})"
        )
        return [
            f"size    {self.size}, {self.parameters:,} parameters",
            f"batch   {self.batch_size} sequences",
            f"steps   {self.steps:,} in {format_duration(self.seconds)}",
            f"tokens  {self.tokens:,}, {self.tokens / self.corpus_tokens:.2f} times the text",
            f"loss    {loss}",
            f"memory  {self.memory / 2**20:,.0f} MiB",
            *([] if energy is None else [f"energy  {energy:.3g} kWh"]),
            *([] if price is None else [f"price   {price:.2f}"]),
        ]

    def to_json(self, machine: MachineCost) -> dict[str, Any]:
        """For a program."""
        return {**asdict(self), "loss_rule": RULE, **asdict(self.outcome(machine))}


def estimate_run(
    setup: PretrainSetup, cost: StepCost, unigram_entropy: float, *, used: float, size: str = ""
) -> Estimate:
    """What the run comes to when `used` seconds of its budget are over before its first step.

    Raises `ShortBudgetError` where the rest does not hold one.
    """
    options, prepared = setup.options, setup.data.prepared
    budget, run = options.training.budget_seconds, RunCost(setup.stages, cost, options.instances.seq_length)
    assert budget is not None
    steps, tokens = run.within(max(0.0, budget - used))
    if round(steps) == 0:
        raise ShortBudgetError(budget, prepared=used, step=run.first_step())
    return Estimate(
        size=size,
        parameters=setup.parameters,
        batch_size=options.batch_size,
        seconds=budget,
        steps=round(steps),
        tokens=round(tokens),
        corpus_tokens=prepared.num_tokens if isinstance(prepared, PreparedCorpus) else prepared.manifest.tokens,
        loss=expected_loss(options, unigram_entropy, tokens),
        memory=cost.memory,
    )


_MEASURED_SECONDS, _MEASURED_SHARE = 3.0, 0.01
"""Of a budget, to measure a step."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `RunFolder.plan` holds."""

    estimated: RunOutcome
    actual: RunOutcome | None = None


PLAN_REMEDY = "remove it, the run does without"


def estimate_once(
    setup: PretrainSetup, run: RunFolder, unigram_entropy: float, machine: MachineCost, started: float
) -> RunOutcome | None:
    """What a run with a budget comes to, kept in its folder; of a resumed one, what was estimated at its start.

    `started` is when the budget began, by `time.perf_counter`. None for a run of a number of steps, and for several
    processes: what they exchange is not in the cost of a step.
    """
    budget = setup.options.training.budget_seconds
    if budget is None or setup.group.size > 1:
        return None
    if run.has_checkpoint:
        if not run.plan.exists():
            return None
        known = read_record(run.plan, Plan, PLAN_REMEDY).estimated
        return replace(known, kilowatt_hours=machine.kilowatt_hours(budget), price=machine.price(budget))
    cost = measure_step(setup, min(_MEASURED_SECONDS, _MEASURED_SHARE * budget))
    estimate = estimate_run(setup, cost, unigram_entropy, used=time.perf_counter() - started)
    estimated = estimate.outcome(machine)
    write_record(run.plan, {"estimated": asdict(estimated)})
    note(f"estimated: {estimated.describe()}")
    return estimated


def compare_with_estimate(
    estimated: RunOutcome, result: TrainingResult, machine: MachineCost, run: RunFolder
) -> RunOutcome:
    """Say what the run came to beside its estimate, and keep both in its folder; returns the first."""
    losses = [value for name, value in result.evaluation.items() if name.endswith("/masked_lm_loss")]
    actual = RunOutcome(
        steps=result.steps,
        tokens=result.tokens,
        loss=statistics.fmean(losses),
        memory=result.memory,
        kilowatt_hours=machine.kilowatt_hours(result.clock_seconds),
        price=machine.price(result.clock_seconds),
    )
    write_record(run.plan, {"estimated": asdict(estimated), "actual": asdict(actual)})
    note(f"estimated: {estimated.describe()}\nactual: {actual.describe()}")
    return actual


_BYTES_A_PARAMETER = 16
"""Weight, gradient and two moments in float32."""


@checked
def describe_run(data: Path, options: PretrainOptions) -> str:
    """Model, corpus, epochs, memory, the time or the steps that a few passes lead to expect, and all options."""
    tune_allocator()
    setup = PretrainSetup.of(data, options, ProcessGroup())
    cost, training = measure_step(setup), setup.options.training
    run = RunCost(setup.stages, cost, setup.options.instances.seq_length)
    if training.steps is not None:
        seconds, steps = run.seconds(training.steps), float(training.steps)
        estimated = f"{format_duration(seconds)} for {counted(training.steps, 'step')}"
    else:
        assert training.budget_seconds is not None
        seconds, (steps, _) = training.budget_seconds, run.within(training.budget_seconds)
        estimated = f"{steps:,.0f} steps in {format_duration(seconds)}"
    return (
        f"{setup.describe()}\n"
        f"{_BYTES_A_PARAMETER * setup.parameters / 2**20:,.0f} MiB for weights, gradients and moments, "
        f"{cost.memory / 2**20:,.0f} MiB in all at the most here\n"
        f"{seconds / steps:.2f} s a step here on average: {estimated}\n"
        f"{as_yaml(setup.config())}"
    )


_UPDATES = 4000
_BATCH_POWERS = range(3, 13)


@checked
def plan_run(data: Path, options: PretrainOptions, sizes: Mapping[str, BertConfig]) -> list[Estimate]:
    """Estimates of the sizes that were tried, ascending; the last one is chosen.

    Among several it is the largest that sees at least one token for each parameter of its layers, with the batch that
    makes some 4,000 updates of them, those with smaller batches on the way not counted: about what the runs of
    docs/results.md had. For a single size the batch stays. A size that the device's memory does not hold ends the
    list, too.
    """
    tune_allocator()
    estimates: list[Estimate] = []
    preparations: tuple[float, float] | None = None
    for size, model in sizes.items():
        note(f"measuring {size}")
        start = time.perf_counter()
        try:
            setup = PretrainSetup.of(data, replace(options, model=model), ProcessGroup())
            if preparations is None:  # what they take and what they find does not depend on the size
                entropy = _prepare(setup)
                preparations = time.perf_counter() - start, entropy
            used, entropy = preparations
            cost = measure_step(setup)
            if len(sizes) > 1:
                fitting = _with_fitting_batch(setup.options, cost, used)
                del setup  # two models are not held at once
                setup = PretrainSetup.of(data, fitting, ProcessGroup())
                cost = measure_step(setup)
            estimate = estimate_run(setup, cost, entropy, size=size, used=used)
        except (MemoryLimitError, ShortBudgetError) as error:
            if not estimates:
                raise
            note(f"{size} is too large: {error}")
            break
        layers = sum(parameter.numel() for parameter in setup.objective.module.bert.layers.parameters())
        if estimates and estimate.tokens < layers:
            break
        estimates.append(estimate)
    return estimates


def _prepare(setup: PretrainSetup) -> float:
    """Do what a run does before its first step; return the entropy of the words' frequencies."""
    prepared = setup.data.prepared
    if setup.options.initial_weights == "informed":
        assert isinstance(prepared, PreparedCorpus)
        init_from_corpus(setup.objective.module, setup.options, prepared)
    return setup.data.unigram_entropy()


def _with_fitting_batch(options: PretrainOptions, cost: StepCost, used: float) -> PretrainOptions:
    """The batch is the power of two with which a run that does not grow has about the updates wanted."""
    assert options.training.budget_seconds is not None
    left, seq_length = max(0.0, options.training.budget_seconds - used), options.instances.seq_length

    def distance(batch_size: int) -> float:
        stage = BatchPhase(start=0.0, batch_size=batch_size, seq_length=seq_length)
        steps, _ = RunCost([stage], cost, seq_length).within(left)
        return abs(math.log(max(steps, 1.0) / _UPDATES))

    return replace(options, batch_size=min((1 << power for power in _BATCH_POWERS), key=distance))
