"""A grid search: fine-tuning with every setting, the best one by dev."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bertkit.foundation.console import note
from bertkit.foundation.files import atomic_folder, exclusive, write_json
from bertkit.recipes.finetune import finetune
from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.recipes.finetune_result import SeedResult
from bertkit.recipes.finetune_seed import seed_result
from bertkit.recipes.finetune_setup import FinetuneSetup
from bertkit.recipes.grid_options import GridOptions
from bertkit.recipes.grid_result import GridResult, SettingResult, best_setting
from bertkit.tasks.task_data import TaskData
from bertkit.training.run_config import settle_config


def finetune_grid(
    model: Path, data: TaskData, out: Path, options: FinetuneOptions, grid: GridOptions, *, resume: bool | None = None
) -> GridResult:
    """Fine-tune with every setting of the grid and write the best one's best seed to `out/model`.

    Settings are compared by the mean of the dev metric over `options.seeds`; the best one gets more seeds where the
    training set is small. Each setting is a whole training with its own warm-up and decay: the first two epochs of
    three are no training of two, for the rate has not come down to 0. The weights of settings that lost are removed,
    their figures stay in `out/settings`. `resume` is that of `finetune`.
    """
    settings = list(grid.settings(options))
    setup = FinetuneSetup.of(model, data, options)
    with exclusive(out):
        settle_config(out, setup.config() | grid.tried(), resume)
        done: list[SettingResult] = []
        for number, setting in enumerate(settings, 1):
            description = f"setting {number} of {len(settings)}"
            seeds = _run(model, data, _folder(out, setting), setting, description)
            done.append(SettingResult(setting=setting, seeds=tuple(seeds)))
            best = best_setting(done, setup.select_by)
            for one in done:
                if one is not best:
                    _remove_weights(_folder(out, one.setting))
        chosen = replace(best.setting, seeds=grid.seeds_of_best(options, len(setup.train.examples)))
        result = finetune(model, data, _folder(out, chosen), chosen)
        best_result = replace(result, model=out / "model")
        found = GridResult(settings=tuple(done), best=best_result, run=_folder(out, chosen))
        with atomic_folder(out / "model") as folder:
            shutil.copytree(result.model, folder, dirs_exist_ok=True)
        write_json(out / "results.json", found.to_json())
    return found


def _folder(out: Path, setting: FinetuneOptions) -> Path:
    name = f"batch-{setting.batch_size}-rate-{setting.learning_rate:g}-epochs-{setting.epochs}"
    return out / "settings" / name


def _run(model: Path, data: TaskData, folder: Path, setting: FinetuneOptions, description: str) -> Sequence[SeedResult]:
    """Fine-tune, or read what was found before."""
    runs = [folder / f"seed-{seed}" for seed in range(setting.seed, setting.seed + setting.seeds)]
    found = [seed_result(run) for run in runs]
    before = [result for result in found if result is not None]
    if len(before) == len(runs):
        return before
    note(f"{description}: {folder.name}")
    # Seeds whose weights were removed cannot be compared by them with new ones.
    lost = any(result is not None and not (run / "model").is_dir() for run, result in zip(runs, found, strict=True))
    return finetune(model, data, folder, setting, resume=False if lost else None).seeds


def _remove_weights(folder: Path) -> None:
    for path in [*folder.glob("seed-*/model"), folder / "model"]:
        shutil.rmtree(path, ignore_errors=True)
