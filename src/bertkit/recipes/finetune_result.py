"""What a fine-tuning with several seeds found."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from bertkit.tasks.instances import TaskInstances


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """Figures of one seed's best weights."""

    seed: int
    dev: Mapping[str, float]
    test: Mapping[str, float] | None
    """None where no labelled test set was given."""
    seconds: float
    """Of training, evaluation left out."""


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """All seeds; `model` is the folder of the one that is best on dev."""

    name: str
    model: Path
    dev: str
    """What the dev figures were measured on."""
    dev_instances: TaskInstances[Any]
    select_by: str
    seeds: tuple[SeedResult, ...]

    @property
    def best(self) -> SeedResult:
        """The seed with the highest `select_by` on dev, the first of equals."""
        return max(self.seeds, key=lambda result: result.dev[self.select_by])

    def figures(self, split: str) -> dict[str, list[float]]:
        """Each metric's values over the seeds, on "dev" or "test"; empty where that was not evaluated."""
        results = [figures for result in self.seeds if (figures := getattr(result, split)) is not None]
        return {name: [figures[name] for figures in results] for name in (results[0] if results else ())}

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Mean and standard deviation (of a sample; 0 for one seed) by split and metric."""
        return {
            split: {
                name: {"mean": statistics.fmean(v), "standard_deviation": deviation(v)} for name, v in figures.items()
            }
            for split in ("dev", "test")
            if (figures := self.figures(split))
        }

    def to_json(self) -> dict[str, Any]:
        """What `results.json` holds."""
        shared = {
            "task": self.name,
            "dev_examples": self.dev,
            "selected_by": self.select_by,
            "best_seed": self.best.seed,
        }
        return {**shared, "seeds": [asdict(result) for result in self.seeds], **self.summary()}

    def table(self) -> Table:
        """Seeds as rows, metrics as columns, mean and standard deviation below."""
        columns = [(split, name) for split in ("dev", "test") for name in self.figures(split)]
        table = Table(title=f"{self.name} (dev: {self.dev})", show_footer=True)
        table.add_column("seed", "mean ± sd")
        for split, name in columns:
            values = self.figures(split)[name]
            table.add_column(f"{split} {name}", f"{statistics.fmean(values):.4f} ± {deviation(values):.4f}")
        for result in self.seeds:
            mark = " (best)" if result is self.best else ""
            table.add_row(f"{result.seed}{mark}", *(f"{getattr(result, split)[name]:.4f}" for split, name in columns))
        return table


def deviation(values: list[float]) -> float:
    """Standard deviation of a sample; 0 for a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0
