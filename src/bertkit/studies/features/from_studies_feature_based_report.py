"""The page of a study of features."""

from __future__ import annotations

from collections.abc import Sequence

from bertkit.studies.feature_based.options import FeatureStudyOptions
from bertkit.studies.feature_based.result import FeatureRow, FeatureStudyResult
from bertkit.studies.report import Fact, Paragraph, Report, Section, Table


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


def _table(result: FeatureStudyResult) -> Table:
    return Table(
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


def _weights(rows: Sequence[FeatureRow]) -> Table:
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
    return Table(
        head=["features", "of", *(f"layer {layer}" for layer in layers)],
        rows=lines,
        text_columns=2,
        caption="Learned weights of the layers, which sum to 1; mean over the seeds.",
    )
