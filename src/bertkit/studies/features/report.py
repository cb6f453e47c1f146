"""The page of a study of features: its table, how it was made, and what was learned of the layers."""

from __future__ import annotations

from collections.abc import Sequence

from bertkit.reports.page import Fact, Paragraph, Report, Section, Table
from bertkit.studies.features.plan import FeatureStudyOptions
from bertkit.studies.features.result import FeatureRow, FeatureStudyResult


def feature_report(result: FeatureStudyResult, options: FeatureStudyOptions) -> Report:
    """The page: the table, how it was made, and the learned weights of the layers."""
    means = [sum(row.values("dev", result.metric)) / len(row.seeds) for row in result.rows]
    place = means.index(max(means))
    best, figure = result.rows[place], result.cells()[place][result.head().index(f"dev {result.metric}")]
    sections = [Section(title="Scores", blocks=[_table(result), Paragraph(text=_how(result, options))])]
    learned = [row for row in result.rows if row.seeds[0].layer_weights is not None]
    if learned:
        sections.append(Section(title="Learned weights of the layers", blocks=[_weights(learned)]))
    return Report(
        title=f"{result.task}: features of a frozen encoder",
        lead=(
            f"The encoder `{result.model}` is frozen; only a model on top of its hidden states is trained. Examples: "
            f"{', '.join(f'{count:,} {name}' for name, count in result.examples.items())} (dev: {result.dev})."
        ),
        facts=[Fact(value=f"{figure} %", label=f"best dev {result.metric}: {best.features}, {best.pooling}")],
        sections=sections,
        footer="Written by `bertkit study features`. The scores of every training are in `results.json`. "
        f"{result.machine}.",
    )


def _table(result: FeatureStudyResult) -> Table:
    return Table(
        head=result.head(),
        rows=result.cells(),
        text_columns=2,
        caption="In percent, mean ± standard deviation over the seeds.",
    )


def _how(result: FeatureStudyResult, options: FeatureStudyOptions) -> str:
    is_tagging = result.rows[0].pooling == "words"
    if is_tagging:
        how = (
            f"A BiLSTM with two layers, {options.width} wide in each direction, reads the vector of each word's first "
            f"piece, and a linear layer predicts the tag: {options.epochs} epochs in batches of {options.batch_size} "
            f"sentences, learning rate {options.learning_rate:g}, dropout {options.dropout:g}, evaluated after the "
            "epoch that is best on dev."
        )
        source = (
            "Published scores are the paper's (Devlin et al. 2019, Table 7): dev F1 of BERT base, cased, with document "
            "context."
        )
    else:
        how = f"scikit-learn's logistic regression, C = {options.inverse_penalty:g}, on the vectors without scaling."
        source = (
            "The published score is that of DistilBERT's [CLS] in a tutorial, on a quarter of 2,000 training sentences."
        )
    return f"{how} {source}" if "published" in result.head() else how


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
        head=["features", "pooling", *(f"layer {layer}" for layer in layers)],
        rows=lines,
        text_columns=2,
        caption="The weights sum to 1; mean over the seeds.",
    )
