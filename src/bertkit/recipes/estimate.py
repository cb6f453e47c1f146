"""- what a run will take and come to, and how it came out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bertkit.core.console import format_duration, note
from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import MemoryLimitError
from bertkit.core.machine import tune_allocator
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.instances.stages import BatchPhase
from bertkit.model.config import BertConfig
from bertkit.recipes.options import MachineCost, PretrainOptions
from bertkit.recipes.pretrain_setup import PretrainSetup
from bertkit.recipes.step_cost import StepCost, measure_step
from bertkit.training.schedule import ShortBudgetError

_GAIN = 0.5
_FIRST_TOKENS = 75_000
"""Fitted to the run of docs/results.md, whose evaluations from 0.5 to 3.8 million tokens it meets to 0.06."""

RULE = f"unigram entropy - {_GAIN} ln(1 + tokens / {_FIRST_TOKENS:,}), fitted to runs of `mini` on 0.5 to 4 M tokens"


def expected_loss(options: PretrainOptions, unigram_entropy: float, tokens: float) -> float | None:
    """Masked-LM loss after so many tokens, or None where nothing like it was measured.

    A run that starts from random weights stands still at the unigram entropy for millions of tokens, for how many
    nobody knows; only those with informed initial weights learn from the start.
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
    """Estimated, or as it came out."""

    steps: int
    tokens: int
    loss: float | None
    """Held out; None where none was estimated."""
    memory: int
    """Bytes at the most."""
    kilowatt_hours: float | None
    price: float | None

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
    """Of one size."""

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

    @classmethod
    def of(
        cls,
        size: str,
        parameters: int,
        options: PretrainOptions,
        cost: RunCost,
        *,
        seconds_left: float,
        corpus_tokens: int,
        unigram_entropy: float,
    ) -> Estimate:
        """For the time that is left when preparations are over."""
        assert options.training.budget_seconds is not None
        steps, tokens = cost.within(seconds_left)
        return cls(
            size=size,
            parameters=parameters,
            batch_size=options.batch_size,
            seconds=options.training.budget_seconds,
            steps=round(steps),
            tokens=round(tokens),
            corpus_tokens=corpus_tokens,
            loss=expected_loss(options, unigram_entropy, tokens),
            memory=cost.cost.memory,
        )

    def describe(self) -> str:
        """In one line."""
        return f"{self.size}: {self.tokens:,} tokens for {self.parameters:,} parameters"

    def outcome(self, machine: MachineCost) -> RunOutcome:
        """What it is held against in the end."""
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


_UPDATES = 4000
_BATCH_POWERS = range(3, 13)


@dataclass(frozen=True)
class _Preparations:
    """Measured once: what they take and what they find does not depend on the size."""

    seconds: float
    unigram_entropy: float
    """In nats."""


def plan_run(data: Path, options: PretrainOptions, sizes: Mapping[str, BertConfig]) -> list[Estimate]:
    """Predictions of the sizes that were tried, ascending; the last one is chosen.

    Among several it is the largest that sees at least one token for each parameter of its layers, with the batch that
    makes some 4,000 updates of them, those with smaller batches on the way not counted: about what the runs of
    docs/results.md had. For a single size the batch stays.
    A size that the device's memory does not hold ends the list, too.
    """
    tune_allocator()
    predictions: list[Estimate] = []
    preparations: _Preparations | None = None
    for size, model in sizes.items():
        note(f"measuring {size}")
        start = time.perf_counter()
        try:
            setup = PretrainSetup.of(data, replace(options, model=model), ProcessGroup())
            if preparations is None:
                preparations = _prepare(setup, start)
            cost = measure_step(setup)
            if len(sizes) > 1:
                fitting = _with_fitting_batch(setup.options, cost, preparations.seconds)
                del setup  # two models are not held at once
                setup = PretrainSetup.of(data, fitting, ProcessGroup())
                cost = measure_step(setup)
            prediction = estimate_run(setup, cost, preparations.unigram_entropy, size=size, used=preparations.seconds)
        except (MemoryLimitError, ShortBudgetError) as error:
            if not predictions:
                raise
            note(f"{size} is too large: {error}")
            break
        layers = sum(parameter.numel() for parameter in setup.objective.module.bert.layers.parameters())
        if predictions and prediction.tokens < layers:
            break
        predictions.append(prediction)
    return predictions


def estimate_run(
    setup: PretrainSetup, cost: StepCost, unigram_entropy: float, *, used: float, size: str = ""
) -> Estimate:
    """What the run will come to when `used` seconds of its budget are over before its first step.

    Raises `ShortBudgetError` where the rest does not hold one.
    """
    budget = setup.options.training.budget_seconds
    assert budget is not None
    prepared = setup.data.prepared
    run = RunCost(setup.stages, cost, setup.options.instances.seq_length)
    prediction = Estimate.of(
        size,
        setup.parameters,
        setup.options,
        run,
        seconds_left=max(0.0, budget - used),
        corpus_tokens=prepared.num_tokens if isinstance(prepared, PreparedCorpus) else prepared.manifest.tokens,
        unigram_entropy=unigram_entropy,
    )
    if prediction.steps == 0:
        raise ShortBudgetError(budget, prepared=used, step=run.first_step())
    return prediction


def _prepare(setup: PretrainSetup, start: float) -> _Preparations:
    if setup.options.initial_weights == "informed":
        setup.inform()
    entropy = setup.unigram_entropy()
    return _Preparations(time.perf_counter() - start, entropy)


def _with_fitting_batch(options: PretrainOptions, cost: StepCost, used: float) -> PretrainOptions:
    """The batch is the power of two with which a run that does not grow has about the updates wanted."""
    assert options.training.budget_seconds is not None
    left, seq_length = max(0.0, options.training.budget_seconds - used), options.instances.seq_length

    def distance(batch_size: int) -> float:
        stage = BatchPhase(start=0.0, batch_size=batch_size, seq_length=seq_length)
        steps, _ = RunCost([stage], cost, seq_length).within(left)
        return abs(math.log(max(steps, 1.0) / _UPDATES))

    return replace(options, batch_size=min((1 << power for power in _BATCH_POWERS), key=distance))
