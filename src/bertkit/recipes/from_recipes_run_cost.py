"""What a whole run costs on this machine, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bertkit.data.stages import Stage
from bertkit.recipes.step_cost import StepCost


@dataclass(frozen=True)
class RunCost:
    """Of a run in `stages` whose usual sequences have up to `seq_length` tokens.

    Longer sequences are taken to be filled as well, and to cost as much a token.
    """

    stages: Sequence[Stage]
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

    def _tokens(self, stage: Stage) -> float:
        return stage.batch_size * self.cost.tokens_per_sequence * stage.seq_length / self.seq_length
