"""Fine-tuning, from a model folder and labelled examples to a model folder with a task."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from bertkit.core.checksums import check_sums
from bertkit.core.console import note
from bertkit.core.errors import InputError
from bertkit.core.files import atomic_folder, write_json
from bertkit.core.machine import tune_allocator
from bertkit.recipes.finetune_result import FinetuneResult
from bertkit.recipes.finetune_seed import run_seed, seed_result
from bertkit.recipes.finetune_setup import FinetuneSetup
from bertkit.recipes.options import FinetuneOptions
from bertkit.recipes.seeds import run_side_by_side, seeds_at_once
from bertkit.tasks.data import TaskData
from bertkit.training.run_folder import RunFolder


def check_copy(copy: Path, source: Path) -> None:
    """Raise `InputError` where the copy of a seed's model is not what the seed wrote; the one before stays."""
    try:
        check_sums(copy, verify="always")
    except InputError as error:
        what = str(error).partition(" is not what was written")[0].replace(str(copy), str(source))
        raise InputError(
            f"{what} is not what was written (its SHA-256 differs): remove {source.parent}, the seed is trained again"
        ) from None


def finetune(
    model: Path, data: TaskData, out: Path, options: FinetuneOptions, *, resume: bool | None = None
) -> FinetuneResult:
    """Fine-tune the encoder in the folder `model` once a seed and write the best seed's to `out/model`.

    `resume` None resumes a run of the same options in `out` (more seeds than before are added to those that are done),
    True insists on one, False starts over.
    """
    tune_allocator()
    setup = FinetuneSetup.of(model, data, options)
    run = RunFolder(out)
    with run.claim(setup.config(), resume, may_change=("model",)):
        note(setup.describe())
        for warning in setup.warnings():
            note(warning)
        folders = {seed: run.seed(seed) for seed in range(options.seed, options.seed + options.seeds)}
        at_once = seeds_at_once(setup)
        if at_once > 1:
            threads = max(1, torch.get_num_threads() // at_once)
            note(f"{at_once} seeds at a time, threads of each: {threads}")
            pending = {seed: folder for seed, folder in folders.items() if seed_result(folder) is None}
            run_side_by_side(setup, pending, at_once=at_once, threads=threads)
        results = [run_seed(setup, seed, folder) for seed, folder in folders.items()]
        result = FinetuneResult(
            name=data.name,
            run=run,
            model=run.model,
            options=options,
            dev=setup.dev_name,
            dev_instances=setup.dev,
            select_by=setup.select_by,
            chance=setup.chance,
            seeds=tuple(results),
        )
        with atomic_folder(run.model) as copy:
            shutil.copytree(folders[result.best.seed].model, copy, dirs_exist_ok=True)
            check_copy(copy, folders[result.best.seed].model)
        write_json(run.results, result.to_json())
    if (advice := result.advice()) is not None:
        note(advice)
    return result
