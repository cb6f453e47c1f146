"""What a grid search found."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.recipes.finetune_result import FinetuneResult, SeedResult, deviation

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
    run: Path
    """Run folder of the chosen setting."""

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
