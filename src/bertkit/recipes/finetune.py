"""Fine-tuning, from a model folder and labelled examples to a model folder with a task."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bertkit.foundation.console import note
from bertkit.foundation.devices import tune_allocator
from bertkit.foundation.files import atomic_folder, exclusive, write_json
from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.recipes.finetune_result import FinetuneResult
from bertkit.recipes.finetune_seed import seed_result, train_seed
from bertkit.recipes.finetune_setup import FinetuneSetup
from bertkit.tasks.task_data import TaskData
from bertkit.training.run_config import settle_config


def finetune(
    model: Path, data: TaskData, out: Path, options: FinetuneOptions, *, resume: bool | None = None
) -> FinetuneResult:
    """Fine-tune the encoder in the folder `model` once a seed and write the best seed's to `out/model`.

    `resume` None goes on with a run of the same options in `out` (more seeds than before are added to those that are
    done), True insists on one, False starts over.
    """
    tune_allocator()
    setup = FinetuneSetup.of(model, data, options)
    with exclusive(out):
        settle_config(out, setup.config(), resume)
        note(setup.describe())
        for remark in setup.remarks():
            note(remark)
        folders = {seed: out / f"seed-{seed}" for seed in range(options.seed, options.seed + options.seeds)}
        results = [seed_result(run) or train_seed(setup, seed, run) for seed, run in folders.items()]
        result = FinetuneResult(
            name=data.name,
            model=out / "model",
            dev=setup.dev_name,
            dev_instances=setup.dev,
            select_by=setup.select_by,
            seeds=tuple(results),
        )
        with atomic_folder(result.model) as folder:
            shutil.copytree(folders[result.best.seed] / "model", folder, dirs_exist_ok=True)
        write_json(out / "results.json", result.to_json())
    return result


def run_config(model: Path, data: TaskData, options: FinetuneOptions) -> dict[str, Any]:
    """All that decides the result of each seed, as `config.yaml` has it."""
    return FinetuneSetup.of(model, data, options).config()
