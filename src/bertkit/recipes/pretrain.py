"""Pre-training, from a prepared folder to a model folder."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bertkit import __version__
from bertkit.core.console import note
from bertkit.core.devices import full_memory_named, resolve_precision
from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import InputError
from bertkit.core.machine import tune_allocator
from bertkit.core.records import Amount, read_record, write_record
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.recipes.estimate import RunOutcome, compare_with_estimate, estimate_once
from bertkit.recipes.options import MachineCost, PretrainOptions
from bertkit.recipes.pretrain_evaluation import HeldOutEvaluation
from bertkit.recipes.pretrain_model import init_from_corpus, write_pretrained_model
from bertkit.recipes.pretrain_objective import UnigramPlateau
from bertkit.recipes.pretrain_setup import MAY_CHANGE, PretrainSetup
from bertkit.training.loop import train
from bertkit.training.metrics import measure_matrix_peak
from bertkit.training.parallel import Replicas
from bertkit.training.run_folder import RunFolder, flat


@dataclass(frozen=True, kw_only=True)
class PretrainResult:
    """What a finished run leaves; a report on it reads its folder."""

    run: RunFolder
    evaluation: Mapping[str, float]
    """The last held-out figures, named `part/figure`."""
    seconds: float
    """Of training."""
    estimated: RunOutcome | None
    """Of a run with a budget in one process, what it was estimated to come to."""
    actual: RunOutcome | None
    """What it came to."""
    report: Path | None = None
    """The page about the run, where one was written."""

    @property
    def model(self) -> Path:
        """The model folder."""
        return self.run.model


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

    `resume` None resumes a run of the same options in `out`, True insists on one, False starts over. Every process of
    `group` calls this alike. A budget of time begins here; what it buys is estimated, in terms of `machine` too, and
    compared with what the run comes to. A new run that is refused before its first step leaves nothing behind.
    """
    started = time.perf_counter()
    machine = MachineCost() if machine is None else machine
    tune_allocator()
    group, run = ProcessGroup() if group is None else group, RunFolder(out)
    with ExitStack() as stack:
        with group.together():
            setup = PretrainSetup.of(data, options, group, started)
        options, module, prepared = setup.options, setup.objective.module, setup.data.prepared
        group.agree({"bertkit": __version__, "torch": torch.__version__, **flat(setup.config())})
        with group.together():
            if group.is_main:
                new_or_resumed = run.claim(
                    setup.config(), resume, may_change=MAY_CHANGE, has_begun=lambda: setup.clock.has_begun
                )
                stack.enter_context(new_or_resumed)
        stack.enter_context(full_memory_named(group.device))
        note(setup.describe())
        if options.initial_weights == "informed" and not run.has_checkpoint:
            assert isinstance(prepared, PreparedCorpus)
            init_from_corpus(module, options, prepared)
        baselines = _measure_baselines(setup, run)
        estimated = estimate_once(setup, run, baselines.unigram_entropy, machine, started)
        replicas = Replicas(setup.objective, group, options.parallel)
        result = train(
            setup.objective,
            setup.loader.batches,
            options.training,
            run,
            replicas=replicas,
            evaluate=HeldOutEvaluation(setup, replicas),
            clock=setup.clock,
            watch=UnigramPlateau(baselines.unigram_entropy),
            matrix_peak=baselines.matrix_peak,
            profile=profile,
            description="pre-training",
        )
        weights, actual = replicas.whole_weights(), None
        with group.together():
            if group.is_main:
                write_pretrained_model(run.model, weights, options, prepared, data, result.evaluation)
                if estimated is not None:
                    actual = compare_with_estimate(estimated, result, machine, run)
    return PretrainResult(
        run=run, evaluation=result.evaluation, seconds=result.seconds, estimated=estimated, actual=actual
    )


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """Measured before a run."""

    matrix_peak: Amount
    """Operations/s that all processes together reach in a large matrix product."""
    unigram_entropy: Amount
    """Of the corpus, in nats: the loss of a masked-LM run that learns nothing but the frequencies of words."""


@dataclass(frozen=True, kw_only=True)
class MeasuredBaselines:
    """What `RunFolder.baselines` holds."""

    on: dict[str, Any]
    """The machines and the precision."""
    baselines: Baselines

    @classmethod
    def read(cls, path: Path) -> MeasuredBaselines:
        """Read them; raises `InputError` for a file that was changed."""
        return read_record(path, cls, "remove it, the run measures it again")


def _measure_baselines(setup: PretrainSetup, run: RunFolder) -> Baselines:
    """Measured once for a run and a set of machines, and kept in its folder."""
    group, precision = setup.group, setup.options.training.precision
    on = {
        "device": group.device.type if group.device.type != "cuda" else torch.cuda.get_device_name(group.device),
        "threads": torch.get_num_threads(),
        "processes": group.size,
        "precision": resolve_precision(precision, group.device),
    }
    known = None
    with group.together():
        if group.is_main and run.baselines.exists():
            try:
                known = MeasuredBaselines.read(run.baselines)
            except InputError as error:
                note(f"measuring again, since {error}")
    known, on = group.gather((known, on))[0]  # so that all decide alike
    if known is not None and known.on == on:
        return known.baselines
    peak = group.sum({"peak": measure_matrix_peak(group.device, precision)})["peak"]
    entropy = group.gather(setup.data.unigram_entropy() if group.is_main else math.nan)[0]
    baselines = Baselines(matrix_peak=peak, unigram_entropy=entropy)
    with group.together():
        if group.is_main:
            write_record(run.baselines, {"on": on, "baselines": asdict(baselines)})
    return baselines
