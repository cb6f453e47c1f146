"""What a run would be, without making it."""

from __future__ import annotations

from pathlib import Path

from bertkit.foundation.allocator import tune_allocator
from bertkit.foundation.counted import counted
from bertkit.foundation.durations import format_duration
from bertkit.foundation.process_group import ProcessGroup
from bertkit.recipes.pretrain_options import PretrainOptions
from bertkit.recipes.pretrain_setup import PretrainSetup
from bertkit.recipes.run_cost import RunCost
from bertkit.recipes.step_cost import measure_step

_BYTES_A_PARAMETER = 16
"""Weight, gradient and two moments in float32."""


def describe_run(data: Path, options: PretrainOptions) -> str:
    """Model, corpus, epochs, memory, the time or the steps that a few passes foretell, and all options."""
    tune_allocator()
    setup = PretrainSetup.of(data, options, ProcessGroup())
    cost, training = measure_step(setup), setup.options.training
    run = RunCost(setup.stages, cost, setup.options.instances.seq_length)
    if training.steps is not None:
        seconds, steps = run.seconds(training.steps), float(training.steps)
        foretold = f"{format_duration(seconds)} for {counted(training.steps, 'step')}"
    else:
        assert training.budget_seconds is not None
        seconds, (steps, _) = training.budget_seconds, run.within(training.budget_seconds)
        foretold = f"{steps:,.0f} steps in {format_duration(seconds)}"
    return (
        f"{setup.describe()}\n"
        f"{_BYTES_A_PARAMETER * setup.parameters / 2**20:,.0f} MiB for weights, gradients and moments, "
        f"{cost.memory / 2**20:,.0f} MiB in all at the most here\n"
        f"{seconds / steps:.2f} s a step here on average: {foretold}\n"
        f"{setup.options_as_yaml()}"
    )
