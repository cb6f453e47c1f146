"""Which size and batch suit a budget of time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bertkit.data.prepared_corpus import PreparedCorpus
from bertkit.foundation.allocator import tune_allocator
from bertkit.foundation.console import note
from bertkit.foundation.errors import MemoryLimitError
from bertkit.foundation.process_group import ProcessGroup
from bertkit.model.config import BertConfig
from bertkit.recipes.prediction import Prediction
from bertkit.recipes.pretrain_options import PretrainOptions
from bertkit.recipes.pretrain_setup import PretrainSetup
from bertkit.recipes.step_cost import StepCost, measure_step
from bertkit.training.short_budget import ShortBudgetError

_UPDATES = 4000
_SMALLEST_BATCH, _LARGEST_BATCH = 8, 4096


@dataclass(frozen=True)
class _Preparations:
    """Measured once: what they take and what they find does not depend on the size."""

    seconds: float
    unigram_entropy: float
    """In nats."""


def plan_run(data: Path, options: PretrainOptions, sizes: Mapping[str, BertConfig]) -> list[Prediction]:
    """Predictions of the sizes that were tried, ascending; the last one is chosen.

    Among several it is the largest that sees at least one token for each parameter of its layers, with the batch that
    makes some 4,000 updates of them: about what the runs of docs/results.md had. For a single size the batch stays.
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
                tried = _with_batch(setup.options, cost, preparations.seconds)
                setup = PretrainSetup.of(data, tried, ProcessGroup())
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
    prediction = Prediction.of(
        size,
        setup.parameters,
        setup.options,
        setup.stages,
        cost,
        seconds_left=max(0.0, budget - used),
        corpus_tokens=prepared.num_tokens if isinstance(prepared, PreparedCorpus) else prepared.manifest.tokens,
        unigram_entropy=unigram_entropy,
    )
    if prediction.steps == 0:
        raise ShortBudgetError(budget, prepared=used, step=cost.seconds(setup.stages[0].batch_size))
    return prediction


def _prepare(setup: PretrainSetup, start: float) -> _Preparations:
    if setup.options.initial_weights == "informed":
        setup.inform()
    entropy = setup.unigram_entropy()
    return _Preparations(time.perf_counter() - start, entropy)


def _with_batch(options: PretrainOptions, cost: StepCost, used: float) -> PretrainOptions:
    assert options.training.budget_seconds is not None
    sequences = (options.training.budget_seconds - used) * cost.tokens_per_second / cost.tokens_per_sequence
    wanted = 2 ** round(math.log2(max(1.0, sequences / _UPDATES)))
    batch_size = min(max(wanted, _SMALLEST_BATCH), _LARGEST_BATCH)
    return replace(options, batch_size=batch_size)
