"""Grid search: fine-tuning with every setting of a grid, and what was found."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from bertkit.core.console import note
from bertkit.core.files import atomic_folder, write_json
from bertkit.recipes.finetune import check_copy, finetune
from bertkit.recipes.finetune_result import FinetuneResult, SeedResult, deviation
from bertkit.recipes.finetune_seed import seed_result
from bertkit.recipes.finetune_setup import FinetuneSetup
from bertkit.recipes.options import FinetuneOptions, GridOptions
from bertkit.tasks.data import TaskData
from bertkit.training.run_folder import RunFolder

GRID_COLUMNS = ("batch", "rate", "epochs", "mean ± sd", "best")
"""Of the table of settings; the last two are of the dev metric over the seeds."""


@dataclass(frozen=True, kw_only=True)
class SettingResult:
    """The seeds of one setting."""

    setting: FinetuneOptions
    seeds: tuple[SeedResult, ...]

    def values(self, metric: str, split: str = "dev") -> list[float]:
        """The metric of every seed; empty where the split was not evaluated."""
        figures = [getattr(seed, split) for seed in self.seeds]
        return [found[metric] for found in figures if found is not None]

    def mean(self, metric: str) -> float:
        """On dev, over the seeds."""
        return statistics.fmean(self.values(metric))


@dataclass(frozen=True, kw_only=True)
class GridResult:
    """All settings, and the chosen one with its restarts."""

    settings: tuple[SettingResult, ...]
    """With the seeds that every setting got, by which they were compared."""
    best: FinetuneResult
    """Its run folder is the chosen setting's, its model that of the grid."""
    run: RunFolder
    """Of the grid."""

    @property
    def chosen(self) -> SettingResult:
        """The setting with the highest mean on dev, the first of equals."""
        return best_setting(self.settings, self.best.select_by)

    def to_json(self) -> dict[str, Any]:
        """What `results.json` holds: the chosen setting's figures, and the grid."""
        metric = self.best.select_by
        return self.best.to_json() | {
            "chosen": _described(self.chosen.setting),
            "grid": [
                _described(one.setting) | {"mean": one.mean(metric), "dev": one.values(metric)} for one in self.settings
            ],
        }

    def table(self) -> Table:
        """Settings as rows."""
        metric = self.best.select_by
        table = Table(title=f"{self.best.name}: {len(self.settings)} settings by {metric} on dev ({self.best.dev})")
        for column in GRID_COLUMNS:
            table.add_column(column)
        for row in self.rows():
            table.add_row(*row)
        return table

    def rows(self) -> list[tuple[str, ...]]:
        """A setting each: `GRID_COLUMNS`."""
        metric, chosen = self.best.select_by, self.chosen
        rows: list[tuple[str, ...]] = []
        for one in self.settings:
            values, described = one.values(metric), _described(one.setting)
            mark = " (chosen)" if one is chosen else ""
            spread = f" ± {deviation(values):.4f}" if len(values) > 1 else ""
            rows.append(
                (
                    str(described["batch_size"]),
                    f"{described['learning_rate']:g}",
                    str(described["epochs"]),
                    f"{one.mean(metric):.4f}{spread}{mark}",
                    f"{max(values):.4f}",
                )
            )
        return rows


def best_setting(settings: Sequence[SettingResult], metric: str) -> SettingResult:
    """The one with the highest mean on dev, the first of equals."""
    return max(settings, key=lambda one: one.mean(metric))


def _described(setting: FinetuneOptions) -> dict[str, Any]:
    return {"batch_size": setting.batch_size, "learning_rate": setting.learning_rate, "epochs": setting.epochs}


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
    run = RunFolder(out)
    with run.claim(setup.config() | grid.tried(), resume, may_change=("model",)):
        done: list[SettingResult] = []
        for number, setting in enumerate(settings, 1):
            description = f"setting {number} of {len(settings)}"
            seeds = _run(model, data, _folder(run, setting), setting, description)
            done.append(SettingResult(setting=setting, seeds=tuple(seeds)))
            best = best_setting(done, setup.select_by)
            for one in done:
                if one is not best:
                    _remove_weights(_folder(run, one.setting))
        chosen = replace(best.setting, seeds=grid.seeds_of_best(options, len(setup.train.examples)))
        result = finetune(model, data, _folder(run, chosen).path, chosen)
        found = GridResult(settings=tuple(done), best=replace(result, model=run.model), run=run)
        with atomic_folder(run.model) as copy:
            shutil.copytree(result.model, copy, dirs_exist_ok=True)
            check_copy(copy, result.model)
        write_json(run.results, found.to_json())
    return found


def _folder(run: RunFolder, setting: FinetuneOptions) -> RunFolder:
    return run.setting(f"batch-{setting.batch_size}-rate-{setting.learning_rate:g}-epochs-{setting.epochs}")


def _run(
    model: Path, data: TaskData, folder: RunFolder, setting: FinetuneOptions, description: str
) -> Sequence[SeedResult]:
    """Fine-tune, or read what was found before."""
    runs = [folder.seed(seed) for seed in range(setting.seed, setting.seed + setting.seeds)]
    found = [seed_result(run) for run in runs]
    before = [result for result in found if result is not None]
    if len(before) == len(runs):
        return before
    note(f"{description}: {folder.path.name}")
    # Seeds whose weights were removed cannot be compared by them with new ones.
    lost = any(result is not None and not run.model.is_dir() for run, result in zip(runs, found, strict=True))
    return finetune(model, data, folder.path, setting, resume=False if lost else None).seeds


def _remove_weights(run: RunFolder) -> None:
    for folder in (*run.seeds(), run):
        shutil.rmtree(folder.model, ignore_errors=True)
