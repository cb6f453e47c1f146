"""What a fine-tuning with several seeds found."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from scipy import stats

from bertkit.core.records import Amount, Count
from bertkit.recipes.options import FinetuneOptions
from bertkit.tasks.contract import TaskInstances
from bertkit.tasks.evaluation import metric_range
from bertkit.training.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """Figures of one seed's best weights."""

    seed: int
    dev: Mapping[str, float]
    test: Mapping[str, float] | None
    """None where no labelled test set was given."""
    seconds: Amount
    """Of training, evaluation left out."""
    steps: Count
    """Updates that it took, fewer than planned where it ended early."""
    failed: bool
    """Whether it is no better on dev than predictions that do not depend on the texts (Mosbach et al. 2021, section 4,
    whose measure is the largest class)."""


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """All seeds, and what a report on them needs."""

    name: str
    run: RunFolder
    model: Path
    """Folder of the seed that is best on dev."""
    options: FinetuneOptions
    dev: str
    """What the dev figures were measured on."""
    dev_instances: TaskInstances[Any]
    select_by: str
    chance: float
    """The highest `select_by` on dev of predictions that do not depend on the texts."""
    seeds: tuple[SeedResult, ...]
    report: Path | None = None
    """The page about the run, where one was written."""

    @property
    def best(self) -> SeedResult:
        """The seed with the highest `select_by` on dev, the first of equals."""
        return max(self.seeds, key=lambda result: result.dev[self.select_by])

    def figures(self, split: str) -> dict[str, list[float]]:
        """Each metric's values over the seeds, on "dev" or "test"; empty where that was not evaluated."""
        results = [figures for result in self.seeds if (figures := getattr(result, split)) is not None]
        return {name: [figures[name] for figures in results] for name in (results[0] if results else ())}

    @property
    def failed(self) -> tuple[SeedResult, ...]:
        """Seeds that have learnt nothing; they count in all figures."""
        return tuple(result for result in self.seeds if result.failed)

    def advice(self) -> str | None:
        """What to do about seeds that failed, in one line; None where there are none."""
        if not self.failed:
            return None
        names = ", ".join(f"{result.seed} ({result.dev[self.select_by]:.4f})" for result in self.failed)
        return (
            f"{len(self.failed)} of {len(self.seeds)} seeds failed: dev {self.select_by} of seed {names} is no better "
            f"than {self.chance:.4f}, which predictions get that do not depend on the texts; they count in the mean. "
            f"Try a lower --learning-rate, more steps (--min-steps 1000), --layer-decay 0.9 or --reinitialize-layers 1"
        )

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Mean, standard deviation (of a sample; 0 for one seed) and, of several, 95 % interval by split and metric."""
        return {
            split: {name: _spread(name, values) for name, values in figures.items()}
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
            "chance": self.chance,
            "failed_seeds": [result.seed for result in self.failed],
        }
        return {**shared, "seeds": [asdict(result) for result in self.seeds], **self.summary()}

    def table(self) -> Table:
        """Seeds as rows, metrics as columns, mean and standard deviation below."""
        columns = [(split, name) for split in ("dev", "test") for name in self.figures(split)]
        table = Table(title=f"{self.name} (dev: {self.dev})", show_footer=True)
        several = len(self.seeds) > 1
        table.add_column("seed", "mean ± sd\n95 % interval" if several else "mean ± sd")
        for split, name in columns:
            values = self.figures(split)[name]
            spread = f"{statistics.fmean(values):.4f} ± {deviation(values):.4f}"
            if several:
                spread += "\n{:.4f} to {:.4f}".format(*metric_interval(name, values))
            table.add_column(f"{split} {name}", spread)
        for result in self.seeds:
            mark = (" (best)" if result is self.best else "") + (" (failed)" if result.failed else "")
            table.add_row(f"{result.seed}{mark}", *(f"{getattr(result, split)[name]:.4f}" for split, name in columns))
        return table


def _spread(name: str, values: list[float]) -> dict[str, float]:
    spread = {"mean": statistics.fmean(values), "standard_deviation": deviation(values)}
    if len(values) > 1:
        spread["confidence_95_low"], spread["confidence_95_high"] = metric_interval(name, values)
    return spread


def confidence_interval(values: list[float], confidence: float = 0.95) -> tuple[float, float]:
    """Ends of the interval for the mean over all seeds that there could be, from two values or more (Student's t)."""
    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    reach = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * error
    return mean - reach, mean + reach


def metric_interval(metric: str, values: list[float]) -> tuple[float, float]:
    """`confidence_interval`, cut to the range of the metric."""
    low, high = confidence_interval(values)
    lowest, highest = metric_range(metric)
    return max(low, lowest), min(high, highest)


def deviation(values: list[float]) -> float:
    """Standard deviation of a sample; 0 for a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0
