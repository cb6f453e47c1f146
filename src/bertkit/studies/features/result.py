"""- figures and page."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from bertkit.recipes.finetune_result import deviation
from bertkit.reports import page
from bertkit.reports.page import Fact, Paragraph, Report, Section
from bertkit.studies.features.plan import FeatureStudyOptions


@dataclass(frozen=True, kw_only=True)
class SeedFigures:
    """One training on one kind of features."""

    seed: int
    dev: Mapping[str, float]
    test: Mapping[str, float] | None
    layer_weights: list[float] | None
    """Of the layers' weighted sum, where they are learned."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class FeatureRow:
    """One kind of features over its seeds."""

    features: str
    pooling: str
    """words, cls or mean."""
    layers: tuple[int, ...]
    """From 0, the embeddings."""
    width: int
    """Numbers a text or word."""
    seeds: tuple[SeedFigures, ...]
    published: float | None
    """The paper's figure, of its own model."""

    def values(self, split: str, metric: str) -> list[float]:
        """A metric over the seeds, on "dev" or "test"; empty where that was not evaluated."""
        found = [getattr(one, split) for one in self.seeds]
        return [figures[metric] for figures in found if figures is not None]


@dataclass(frozen=True, kw_only=True)
class FeatureStudyResult:
    """All rows of the table."""

    task: str
    model: str
    metric: str
    examples: Mapping[str, int]
    """Of each part."""
    dev: str
    """What dev is."""
    largest_class: Mapping[str, float] | None
    """The metric by part of always saying training's largest class; None for tags, where that finds no entity."""
    rows: tuple[FeatureRow, ...]
    skipped: tuple[str, ...]
    """Features that the model has too few layers for."""
    machine: str

    def to_json(self) -> dict[str, Any]:
        """What `results.json` holds."""
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
        return ["features", "of", "width", f"dev {self.metric}", *tests, *published]

    def cells(self) -> list[list[str]]:
        """The table's rows, in percent, mean ± standard deviation over the seeds."""
        has_published = "published" in self.head()
        table = []
        for row in self.rows:
            figures = [_percent(row.values(split, self.metric)) for split in ("dev", "test") if split in self.examples]
            published = ["" if row.published is None else f"{100 * row.published:.1f}"] if has_published else []
            table.append([row.features, row.pooling, f"{row.width:,}", *figures, *published])
        if self.largest_class is not None:
            chance = [f"{100 * self.largest_class[split]:.1f}" for split in ("dev", "test") if split in self.examples]
            table.append(["largest class", "", "", *chance, *([""] if has_published else [])])
        return table

    def table(self) -> Table:
        """For the terminal."""
        table = Table(title=f"{self.task}: features of {self.model} (dev: {self.dev})")
        for place, name in enumerate(self.head()):
            table.add_column(name, justify="left" if place < 2 else "right")
        for row in self.cells():
            table.add_row(*row)
        return table


def _percent(values: list[float]) -> str:
    mean = f"{100 * statistics.fmean(values):.1f}"
    return f"{mean} ± {100 * deviation(values):.1f}" if len(values) > 1 else mean


def feature_report(result: FeatureStudyResult, options: FeatureStudyOptions) -> Report:
    """Lay out the table and what was learned of the layers."""
    means = [sum(row.values("dev", result.metric)) / len(row.seeds) for row in result.rows]
    place = means.index(max(means))
    best, figure = result.rows[place], result.cells()[place][result.head().index(f"dev {result.metric}")]
    sections = [Section(title="The table", blocks=[_table(result), Paragraph(text=_how(result, options))])]
    learned = [row for row in result.rows if row.seeds[0].layer_weights is not None]
    if learned:
        sections.append(Section(title="How much each layer counts", blocks=[_weights(learned)]))
    return Report(
        title=f"{result.task}: what the layers are good for",
        lead=(
            f"The encoder `{result.model}` is never trained; only what stands on its hidden states is. "
            f"{', '.join(f'{count:,} {name}' for name, count in result.examples.items())} examples (dev: {result.dev})."
        ),
        facts=[Fact(value=f"{figure} %", label=f"dev {result.metric}, {best.features} of {best.pooling}, the best")],
        sections=sections,
        footer="Written by `bertkit study features`. Every training's figures are in `results.json`.",
    )


def _table(result: FeatureStudyResult) -> page.Table:
    return page.Table(
        head=result.head(),
        rows=result.cells(),
        text_columns=2,
        caption=f"In percent, mean ± standard deviation over the seeds. {result.machine}.",
    )


def _how(result: FeatureStudyResult, options: FeatureStudyOptions) -> str:
    if result.rows[0].pooling == "words":
        return (
            f"A BiLSTM of two layers of {options.width} in each direction reads the first pieces of a sentence's words "
            f"and a linear layer tags them: {options.epochs} epochs in batches of {options.batch_size} sentences, "
            f"learning rate {options.learning_rate:g}, dropout {options.dropout:g}, the epoch with the best dev "
            "figure. Published figures are the paper's (Devlin et al. 2019, Table 7): dev F1 of BERT base, cased, with "
            "document context."
        )
    return (
        f"Logistic regression of scikit-learn, C = {options.inverse_penalty:g}, on vectors as they are. A published "
        "figure is that of the demonstration with DistilBERT's [CLS] on a quarter of 2,000 training sentences."
    )


def _weights(rows: Sequence[FeatureRow]) -> page.Table:
    layers = sorted({layer for row in rows for layer in row.layers})
    lines = []
    for row in rows:
        means = [
            sum(weights) / len(weights)
            for weights in zip(*(one.layer_weights for one in row.seeds if one.layer_weights), strict=True)
        ]
        found = dict(zip(row.layers, means, strict=True))
        lines.append(
            [row.features, row.pooling, *(f"{found[layer]:.2f}" if layer in found else "" for layer in layers)]
        )
    return page.Table(
        head=["features", "of", *(f"layer {layer}" for layer in layers)],
        rows=lines,
        text_columns=2,
        caption="Learned weights of the layers, which sum to 1; mean over the seeds.",
    )
