"""Which size and batch suit a budget of time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bertkit.data.prepared_corpus import PreparedCorpus
from bertkit.foundation.console import note
from bertkit.foundation.devices import tune_allocator
from bertkit.foundation.process_group import ProcessGroup
from bertkit.model.config import BertConfig
from bertkit.recipes.prediction import Prediction
from bertkit.recipes.pretrain_options import PretrainOptions
from bertkit.recipes.pretrain_setup import PretrainSetup
from bertkit.recipes.step_cost import StepCost, measure_step

_UPDATES = 4000
_SMALLEST_BATCH, _LARGEST_BATCH = 8, 4096


def plan_run(data: Path, options: PretrainOptions, sizes: Mapping[str, BertConfig]) -> list[Prediction]:
    """Predictions of the sizes that were tried, ascending; the last one is chosen.

    Among several it is the largest that sees at least one token for each parameter of its layers, with the batch that
    makes some 4,000 updates of them: about what the runs of docs/results.md had. For a single size the batch stays.
    """
    tune_allocator()
    predictions: list[Prediction] = []
    preparations, entropy = None, 0.0
    for size, model in sizes.items():
        tried = replace(options, model=model)
        setup = PretrainSetup.of(data, tried, ProcessGroup())
        note(f"measuring {size}")
        if preparations is None:
            preparations, entropy = _seconds_to_prepare(setup), setup.unigram_entropy()
        cost = measure_step(setup)
        if len(sizes) > 1:
            tried = _with_batch(setup.options, cost, preparations)
            setup = PretrainSetup.of(data, tried, ProcessGroup())
        prediction = foretell(setup, cost, entropy, size=size, used=preparations)
        layers = sum(parameter.numel() for parameter in setup.objective.module.bert.layers.parameters())
        if predictions and prediction.tokens < layers:
            break
        predictions.append(prediction)
    return predictions


def foretell(
    setup: PretrainSetup, cost: StepCost, unigram_entropy: float, *, used: float, size: str = ""
) -> Prediction:
    """What the run will come to when `used` seconds of its budget are over before its first step."""
    budget = setup.options.training.budget_seconds
    assert budget is not None
    prepared = setup.data.prepared
    return Prediction.of(
        size,
        setup.parameters,
        setup.options,
        setup.stages,
        cost,
        seconds_left=max(0.0, budget - used),
        corpus_tokens=prepared.num_tokens if isinstance(prepared, PreparedCorpus) else prepared.manifest.tokens,
        unigram_entropy=unigram_entropy,
    )


def _seconds_to_prepare(setup: PretrainSetup) -> float:
    start = time.perf_counter()
    if setup.options.initial_weights == "informed":
        setup.inform()
    return time.perf_counter() - start


def _with_batch(options: PretrainOptions, cost: StepCost, used: float) -> PretrainOptions:
    assert options.training.budget_seconds is not None
    sequences = (options.training.budget_seconds - used) * cost.tokens_per_second / cost.tokens_per_sequence
    wanted = 2 ** round(math.log2(max(1.0, sequences / _UPDATES)))
    batch_size = min(max(wanted, _SMALLEST_BATCH), _LARGEST_BATCH)
    ramp = options.stages.ramp_from
    stages = options.stages if ramp is None else replace(options.stages, ramp_from=_ramp_from(ramp, batch_size))
    return replace(options, batch_size=batch_size, stages=stages)


def _ramp_from(asked: int, batch_size: int) -> int | None:
    return asked if asked < batch_size else None
