"""What a run is estimated to cost."""

import pytest

from bertkit.data.instances.stages import BatchPhase
from bertkit.recipes.estimate import RunCost
from bertkit.recipes.step_cost import StepCost

COST = StepCost(
    pass_seconds=0.5,
    token_seconds=0.001,
    update_seconds=0.25,
    tokens_per_sequence=100.0,
    micro_batch_tokens=1000,
    memory=0,
)
GROWING = [
    BatchPhase(start=0.0, batch_size=5, seq_length=128),
    BatchPhase(start=0.25, batch_size=15, seq_length=128),
    BatchPhase(start=0.75, batch_size=5, seq_length=512),
]


def test_a_step_has_as_many_passes_as_its_tokens_fill():
    assert COST.seconds(1000) == pytest.approx(0.5 + 1.0 + 0.25)
    assert COST.seconds(1001) == pytest.approx(1.0 + 1.001 + 0.25)


def test_every_stage_has_its_share_of_the_steps():
    run = RunCost(GROWING, COST, 128)
    short, large, long = 0.5 + 0.5 + 0.25, 1.0 + 1.5 + 0.25, 1.0 + 2.0 + 0.25
    assert run.first_step() == pytest.approx(short)
    assert run.seconds(8) == pytest.approx(2 * short + 4 * large + 2 * long)


def test_every_stage_has_its_share_of_the_time():
    steps, tokens = RunCost(GROWING, COST, 128).within(100.0)
    taken = [25 / 1.25, 50 / 2.75, 25 / 3.25]
    assert steps == pytest.approx(sum(taken))
    assert tokens == pytest.approx(500 * taken[0] + 1500 * taken[1] + 2000 * taken[2])
