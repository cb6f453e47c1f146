"""Which size and batch suit a budget of time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bertkit.data.prepared_corpus import PreparedCorpus
from bertkit.data.stages import Stage
from bertkit.foundation.allocator import tune_allocator
from bertkit.foundation.console import note
from bertkit.foundation.errors import MemoryLimitError
from bertkit.foundation.process_group import ProcessGroup
from bertkit.model.config import BertConfig
from bertkit.recipes.prediction import Prediction
from bertkit.recipes.pretrain_options import PretrainOptions
from bertkit.recipes.pretrain_setup import PretrainSetup
from bertkit.recipes.run_cost import RunCost
from bertkit.recipes.step_cost import StepCost, measure_step
from bertkit.training.short_budget import ShortBudgetError

_UPDATES = 4000
_BATCH_POWERS = range(3, 13)


@dataclass(frozen=True)
class _Preparations:
    """Measured once: what they take and what they find does not depend on the size."""

    seconds: float
    unigram_entropy: float
    """In nats."""


def plan_run(data: Path, options: PretrainOptions, sizes: Mapping[str, BertConfig]) -> list[Prediction]:
    """Predictions of the sizes that were tried, ascending; the last one is chosen.

    Among several it is the largest that sees at least one token for each parameter of its layers, with the batch that
    makes some 4,000 updates of them, those with smaller batches on the way not counted: about what the runs of
    docs/results.md had. For a single size the batch stays.
    A size that the device's memory does not hold ends the list, too.
    """
    tune_allocator()
    predictions: list[Prediction] = []
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
            prediction = foretell(setup, cost, preparations.unigram_entropy, size=size, used=preparations.seconds)
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


def foretell(
    setup: PretrainSetup, cost: StepCost, unigram_entropy: float, *, used: float, size: str = ""
) -> Prediction:
    """What the run will come to when `used` seconds of its budget are over before its first step.

    Raises `ShortBudgetError` where the rest does not hold one.
    """
    budget = setup.options.training.budget_seconds
    assert budget is not None
    prepared = setup.data.prepared
    run = RunCost(setup.stages, cost, setup.options.instances.seq_length)
    prediction = Prediction.of(
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
        stage = Stage(start=0.0, batch_size=batch_size, seq_length=seq_length)
        steps, _ = RunCost([stage], cost, seq_length).within(left)
        return abs(math.log(max(steps, 1.0) / _UPDATES))

    return replace(options, batch_size=min((1 << power for power in _BATCH_POWERS), key=distance))
