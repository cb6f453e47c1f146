"""Pre-training, from a prepared folder to a model folder."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from bertkit import __version__
from bertkit.foundation.console import note
from bertkit.foundation.devices import resolve_precision, tune_allocator
from bertkit.foundation.files import exclusive, read_json, write_json
from bertkit.foundation.process_group import ProcessGroup
from bertkit.recipes.pretrain_options import PretrainOptions
from bertkit.recipes.pretrain_plan import foretell
from bertkit.recipes.pretrain_setup import PretrainSetup
from bertkit.recipes.step_cost import measure_step
from bertkit.training.checkpoint import has_checkpoint
from bertkit.training.loop import train
from bertkit.training.matrix_peak import measure_matrix_peak
from bertkit.training.replicas import Replicas
from bertkit.training.run_config import flat, settle_config
from bertkit.training.training_result import TrainingResult
from bertkit.training.yardsticks import Yardsticks

_YARDSTICKS_FILE, _PLAN_FILE = "yardsticks.json", "plan.json"
_COMPARED = ("steps", "tokens", "loss")
_MEASURED_SECONDS, _MEASURED_SHARE = 3.0, 0.01
"""Of a budget, to foretell what it will come to."""


@dataclass(frozen=True)
class PretrainResult:
    """Where the model is, the last held-out figures and the seconds of training."""

    model: Path
    evaluation: Mapping[str, float]
    seconds: float


def pretrain(
    data: Path,
    out: Path,
    options: PretrainOptions,
    *,
    resume: bool | None = None,
    group: ProcessGroup | None = None,
    profile: bool = False,
) -> PretrainResult:
    """Pre-train on the prepared folder `data` and write `out/model` (Devlin et al. 2019, section 3.1).

    `resume` None goes on with a run of the same options in `out`, True insists on one, False starts over. Every process
    of `group` calls this alike. A budget of time begins here.
    """
    started = time.perf_counter()
    tune_allocator()
    group = ProcessGroup() if group is None else group
    with ExitStack() as stack:
        with group.together():
            setup = PretrainSetup.of(data, options, group, started)
        group.agree({"bertkit": __version__, "torch": torch.__version__, **flat(setup.config())})
        with group.together():
            if group.leads:
                stack.enter_context(exclusive(out))
                settle_config(out, setup.config(), resume)
        note(setup.describe())
        if setup.options.initial_weights == "informed" and not has_checkpoint(out / "checkpoints"):
            setup.inform()
        yardsticks = _yardsticks(setup, out)
        prediction = _foretold(setup, yardsticks, out, started)
        replicas = Replicas(setup.objective.module, group, setup.options.parallel)
        result = train(
            setup.objective,
            setup.loader.batches,
            setup.options.training,
            out,
            replicas=replicas,
            evaluate=setup.evaluate,
            clock=setup.clock,
            yardsticks=yardsticks,
            profile=profile,
            description="pre-training",
        )
        weights = replicas.whole_weights()
        with group.together():
            if group.leads:
                setup.write_model(out / "model", weights, result.evaluation)
                if prediction is not None:
                    _compare(prediction, result, out)
    return PretrainResult(out / "model", result.evaluation, result.seconds)


def _foretold(setup: PretrainSetup, yardsticks: Yardsticks, run: Path, started: float) -> dict[str, float] | None:
    """What a run with a budget will come to; of one that goes on, what was foretold at its start.

    Several processes foretell nothing: what they exchange is not in the cost of a step.
    """
    budget = setup.options.training.budget_seconds
    if budget is None or setup.group.size > 1:
        return None
    if not has_checkpoint(run / "checkpoints"):
        cost = measure_step(setup, min(_MEASURED_SECONDS, _MEASURED_SHARE * budget))
        assert yardsticks.unigram_entropy is not None
        foretold = foretell(setup, cost, yardsticks.unigram_entropy, used=time.perf_counter() - started)
        write_json(run / _PLAN_FILE, {"foretold": {name: getattr(foretold, name) for name in _COMPARED}})
        note(f"foretold: {_in_words(read_json(run / _PLAN_FILE)['foretold'])}")
    known: dict[str, float] | None = read_json(run / _PLAN_FILE)["foretold"] if (run / _PLAN_FILE).exists() else None
    return known


def _compare(foretold: Mapping[str, float], result: TrainingResult, run: Path) -> None:
    losses = [value for name, value in result.evaluation.items() if name.endswith("/masked_lm_loss")]
    came_out = {"steps": result.steps, "tokens": result.tokens, "loss": statistics.fmean(losses)}
    write_json(run / _PLAN_FILE, {"foretold": foretold, "came_out": came_out})
    note(f"foretold: {_in_words(foretold)}\ncame out: {_in_words(came_out)}")


def _in_words(figures: Mapping[str, float | None]) -> str:
    loss = "" if figures["loss"] is None else f", held-out loss {figures['loss']:.3f}"
    return f"{figures['steps']:,} steps, {figures['tokens']:,} tokens{loss}"


def _yardsticks(setup: PretrainSetup, run: Path) -> Yardsticks:
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
        if group.leads and (run / _YARDSTICKS_FILE).exists():
            known = read_json(run / _YARDSTICKS_FILE)
    known, on = group.gather((known, on))[0]  # so that all decide alike
    if known.get("on") == on:
        return Yardsticks(**known["yardsticks"])
    peak = group.sum({"peak": measure_matrix_peak(group.device, precision)})["peak"]
    entropy = group.gather(setup.unigram_entropy() if group.leads else None)[0]
    with group.together():
        if group.leads:
            measured = {"matrix_peak": peak, "unigram_entropy": entropy}
            write_json(run / _YARDSTICKS_FILE, {"on": on, "yardsticks": measured})
    return Yardsticks(matrix_peak=peak, unigram_entropy=entropy)
