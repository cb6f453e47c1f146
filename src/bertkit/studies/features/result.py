"""What a study of features found, as JSON and as a table for the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from bertkit.recipes.finetune_result import deviation


@dataclass(frozen=True, kw_only=True)
class SeedFigures:
    """The scores of one training on one set of features."""

    seed: int
    dev: Mapping[str, float]
    test: Mapping[str, float] | None
    layer_weights: list[float] | None
    """Weights of the layers in their sum, where they are learned."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class FeatureRow:
    """One set of features with one pooling, over its seeds."""

    features: str
    pooling: str
    """words, cls or mean."""
    layers: tuple[int, ...]
    """Their numbers; 0 is the embeddings."""
    width: int
    """Length of a text's or word's vector."""
    seeds: tuple[SeedFigures, ...]
    published: float | None
    """A published score, of another model."""

    def values(self, split: str, metric: str) -> list[float]:
        """A metric of every seed on "dev" or "test"; empty if that part was not evaluated."""
        found = [getattr(one, split) for one in self.seeds]
        return [figures[metric] for figures in found if figures is not None]


@dataclass(frozen=True, kw_only=True)
class FeatureStudyResult:
    """All rows of the table."""

    task: str
    model: str
    metric: str
    examples: Mapping[str, int]
    """How many each part has."""
    dev: str
    """What the dev set is."""
    largest_class: Mapping[str, float] | None
    """The metric by part of always predicting the largest training class; None for tags, where no entity is found."""
    rows: tuple[FeatureRow, ...]
    skipped: tuple[str, ...]
    """Names of feature sets that the model has too few layers for."""
    machine: str

    def to_json(self) -> dict[str, Any]:
        """The content of `results.json`."""
        splits = ("dev", "test") if "test" in self.examples else ("dev",)
        rows = [
            asdict(row)
            | {
                split: {"mean": statistics.fmean(values), "standard_deviation": deviation(values)}
                for split in splits
                if (values := row.values(split, self.metric))
            }
            for row in self.rows
        ]
        return asdict(self) | {"rows": rows}

    def head(self) -> list[str]:
        """Names of the table's columns."""
        tests = [f"test {self.metric}"] if "test" in self.examples else []
        published = ["published"] if any(row.published is not None for row in self.rows) else []
        return ["features", "pooling", "width", f"dev {self.metric}", *tests, *published]

    def cells(self) -> list[list[str]]:
        """The table's rows, in percent, mean ± standard deviation over the seeds."""
        has_published = "published" in self.head()
        table = []
        for row in self.rows:
            figures = [_percent(row.values(split, self.metric)) for split in ("dev", "test") if split in self.examples]
            published = ["" if row.published is None else f"{100 * row.published:.1f}"] if has_published else []
            table.append([row.features, row.pooling, f"{row.width:,}", *figures, *published])
        if self.largest_class is not None:
            scores = [f"{100 * self.largest_class[split]:.1f}" for split in ("dev", "test") if split in self.examples]
            table.append(["largest class", "", "", *scores, *([""] if has_published else [])])
        return table

    def table(self) -> Table:
        """The table for the terminal."""
        table = Table(title=f"{self.task}: features of {self.model} (dev: {self.dev})")
        for place, name in enumerate(self.head()):
            table.add_column(name, justify="left" if place < 2 else "right")
        for row in self.cells():
            table.add_row(*row)
        return table


def _percent(values: list[float]) -> str:
    mean = f"{100 * statistics.fmean(values):.1f}"
    return f"{mean} ± {100 * deviation(values):.1f}" if len(values) > 1 else mean
