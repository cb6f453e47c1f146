"""What a run of some time will come to, foretold from the cost of its steps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bertkit.foundation.durations import format_duration
from bertkit.recipes.expected_loss import RULE, expected_loss
from bertkit.recipes.machine_cost import MachineCost
from bertkit.recipes.pretrain_options import PretrainOptions
from bertkit.recipes.run_cost import RunCost
from bertkit.recipes.run_outcome import RunOutcome


@dataclass(frozen=True, kw_only=True)
class Prediction:
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
    ) -> Prediction:
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
            "not foretold, as it is for informed initial weights alone"
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
