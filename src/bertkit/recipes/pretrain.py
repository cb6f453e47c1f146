"""- pretrain() and its dry run."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch

from bertkit import __version__
from bertkit.core.console import counted, format_duration, note
from bertkit.core.devices import full_memory_named, resolve_precision
from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import InputError
from bertkit.core.files import exclusive, read_json, write_json
from bertkit.core.machine import tune_allocator
from bertkit.core.records import from_json
from bertkit.recipes.estimate import RunCost, RunOutcome, estimate_run
from bertkit.recipes.options import MachineCost, PretrainOptions
from bertkit.recipes.pretrain_objective import UnigramPlateau
from bertkit.recipes.pretrain_setup import MAY_CHANGE, PretrainSetup
from bertkit.recipes.step_cost import measure_step
from bertkit.training.checkpoint import has_checkpoint
from bertkit.training.loop import train
from bertkit.training.metrics import measure_matrix_peak
from bertkit.training.parallel import Replicas
from bertkit.training.run_folder import flat, removed_where_refused, settle_config
from bertkit.training.schedule import TrainingResult

YARDSTICKS_FILE, PLAN_FILE = "baselines.json", "plan.json"
_MEASURED_SECONDS, _MEASURED_SHARE = 3.0, 0.01
"""Of a budget, to foretell what it will come to."""


@dataclass(frozen=True)
class PretrainResult:
    """Where the model is, the last held-out figures and the seconds of training."""

    model: Path
    evaluation: Mapping[str, float]
    seconds: float
    report: Path | None = None
    """The page about the run, where one was written."""


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What `PLAN_FILE` holds."""

    estimated: RunOutcome
    actual: RunOutcome | None = None


def pretrain(
    data: Path,
    out: Path,
    options: PretrainOptions,
    *,
    resume: bool | None = None,
    group: ProcessGroup | None = None,
    profile: bool = False,
    machine: MachineCost | None = None,
) -> PretrainResult:
    """Pre-train on the prepared folder `data` and write `out/model` (Devlin et al. 2019, section 3.1).

    `resume` None goes on with a run of the same options in `out`, True insists on one, False starts over. Every process
    of `group` calls this alike. A budget of time begins here; what it buys is estimated, in terms of `machine` too, and
    held against what came out. A new run that is refused before its first step leaves nothing behind.
    """
    started = time.perf_counter()
    machine = MachineCost() if machine is None else machine
    tune_allocator()
    group = ProcessGroup() if group is None else group
    with ExitStack() as stack:
        with group.together():
            setup = PretrainSetup.of(data, options, group, started)
        group.agree({"bertkit": __version__, "torch": torch.__version__, **flat(setup.config())})
        with group.together():
            if group.is_main:
                new_folder, new_run = not out.exists(), resume is False or not (out / "config.yaml").exists()
                stack.enter_context(exclusive(out))
                settle_config(out, setup.config(), resume, may_change=MAY_CHANGE)
                if new_run:
                    stack.enter_context(removed_where_refused(out, setup.clock, with_folder=new_folder))
        stack.enter_context(full_memory_named(group.device))
        note(setup.describe())
        if setup.options.initial_weights == "informed" and not has_checkpoint(out / "checkpoints"):
            setup.inform()
        baselines = _baselines(setup, out)
        estimated = _estimated(setup, baselines, out, started, machine)
        replicas = Replicas(setup.objective, group, setup.options.parallel)
        result = train(
            setup.objective,
            setup.loader.batches,
            setup.options.training,
            out,
            replicas=replicas,
            evaluate=partial(setup.evaluate, replicas),
            clock=setup.clock,
            watch=UnigramPlateau(baselines.unigram_entropy),
            matrix_peak=baselines.matrix_peak,
            profile=profile,
            description="pre-training",
        )
        weights = replicas.whole_weights()
        with group.together():
            if group.is_main:
                setup.write_model(out / "model", weights, result.evaluation)
                if estimated is not None:
                    _compare(estimated, _actual(result, machine), out)
    return PretrainResult(out / "model", result.evaluation, result.seconds)


def _estimated(
    setup: PretrainSetup, baselines: Baselines, run: Path, started: float, machine: MachineCost
) -> RunOutcome | None:
    """What a run with a budget will come to; of one that goes on, what was estimated at its start.

    Several processes foretell nothing: what they exchange is not in the cost of a step.
    """
    budget, path = setup.options.training.budget_seconds, run / PLAN_FILE
    if budget is None or setup.group.size > 1:
        return None
    if has_checkpoint(run / "checkpoints"):
        if not path.exists():
            return None
        known = _read_foretold(path)
        return replace(known, kilowatt_hours=machine.kilowatt_hours(budget), price=machine.price(budget))
    cost = measure_step(setup, min(_MEASURED_SECONDS, _MEASURED_SHARE * budget))
    prediction = estimate_run(setup, cost, baselines.unigram_entropy, used=time.perf_counter() - started)
    estimated = prediction.outcome(machine)
    write_json(path, {"estimated": asdict(estimated)})
    note(f"estimated: {estimated.describe()}")
    return estimated


def _read_foretold(path: Path) -> RunOutcome:
    value = read_json(path)
    try:
        return from_json(_Plan, value).estimated
    except InputError as error:
        raise InputError(f"{path} is not what was written ({error}): remove it, the run does without") from None


def _actual(result: TrainingResult, machine: MachineCost) -> RunOutcome:
    return RunOutcome(
        steps=result.steps,
        tokens=result.tokens,
        loss=statistics.fmean(value for name, value in result.evaluation.items() if name.endswith("/masked_lm_loss")),
        memory=result.memory,
        kilowatt_hours=machine.kilowatt_hours(result.clock_seconds),
        price=machine.price(result.clock_seconds),
    )


def _compare(estimated: RunOutcome, actual: RunOutcome, run: Path) -> None:
    write_json(run / PLAN_FILE, {"estimated": asdict(estimated), "actual": asdict(actual)})
    note(f"estimated: {estimated.describe()}\nactual: {actual.describe()}")


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """Measured before the run."""

    unigram_entropy: float
    """Of the corpus, in nats: the loss of a masked-LM run that learns nothing but the frequencies of words."""
    matrix_peak: float
    """Operations/s that all processes together reach in a large matrix product."""


def _baselines(setup: PretrainSetup, run: Path) -> Baselines:
    """Measured once for a run and a set of machines, and kept in its folder."""
    group, precision = setup.group, setup.options.training.precision
    on = {
        "device": group.device.type if group.device.type != "cuda" else torch.cuda.get_device_name(group.device),
        "threads": torch.get_num_threads(),
        "processes": group.size,
        "precision": resolve_precision(precision, group.device),
    }
    known = {}
    with group.together():
        if group.is_main and (run / YARDSTICKS_FILE).exists():
            known = read_json(run / YARDSTICKS_FILE)
    known, on = group.gather((known, on))[0]  # so that all decide alike
    if known.get("on") == on:
        return Baselines(**known["baselines"])
    peak = group.sum({"peak": measure_matrix_peak(group.device, precision)})["peak"]
    entropy = group.gather(setup.unigram_entropy() if group.is_main else math.nan)[0]
    with group.together():
        if group.is_main:
            measured = {"matrix_peak": peak, "unigram_entropy": entropy}
            write_json(run / YARDSTICKS_FILE, {"on": on, "baselines": measured})
    return Baselines(matrix_peak=peak, unigram_entropy=entropy)


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
        f"{setup.options_as_yaml()}"
    )
