"""What the page says of a model of scores."""
# N examples.

from __future__ import annotations

import numpy as np

from bertkit.studies.figures import Axis, Bars, Points, Series, plot
from bertkit.studies.report import Paragraph, Passage, Passages, Plots, Section
from bertkit.studies.task_report.evaluated import Evaluated
from bertkit.studies.task_report.marking import excerpt

_ERRORS = 20
_BINS = 30
_MOST_POINTS = 2000
"""Of the scatter plot: more are not told apart and make the page heavy."""


def score_sections(found: Evaluated) -> list[Section]:
    """Predictions against labels, and the largest errors."""
    said, labels = found.logits.double().squeeze(-1).numpy(), found.targets.double().numpy()  # (N,)
    errors = said - labels
    ends = [float(min(said.min(), labels.min())), float(max(said.max(), labels.max()))]
    some = np.unique(np.linspace(0, len(said) - 1, _MOST_POINTS).astype(np.int64))
    scatter = plot(
        [
            Points(label="", x=labels[some].tolist(), y=said[some].tolist(), colour=0),
            Series(label="where both agree", x=ends, y=ends, dashed=True, colour=1),
        ],
        Axis(label="label"),
        Axis(label="prediction"),
        "scatter",
    )
    counts, edges = np.histogram(errors, bins=_BINS)
    middles = ((edges[:-1] + edges[1:]) / 2).tolist()
    residuals = plot(
        [Bars(label="", x=middles, y=counts.tolist(), width=float(edges[1] - edges[0]), colour=0)],
        Axis(label="prediction less label"),
        Axis(label="examples"),
        "residuals",
    )
    text = (
        f"Mean absolute error {np.abs(errors).mean():.3f}, root of the mean squared error "
        f"{np.sqrt((errors**2).mean()):.3f}; on average the model says {abs(errors.mean()):.3f} too "
        f"{'much' if errors.mean() > 0 else 'little'}. Labels lie between {labels.min():g} and {labels.max():g}."
    )
    examples = found.instances.examples
    passages = [
        Passage(
            head=f"said {said[index]:.2f}, is {labels[index]:.2f} ({errors[index]:+.2f})",
            pieces=excerpt("  |  ".join(examples.record(index).values())),
            note=examples.place(index),
        )
        for index in np.argsort(-np.abs(errors), kind="stable")[:_ERRORS].tolist()
    ]
    return [
        Section(
            title="Predictions against labels",
            blocks=[
                Plots(svgs=[scatter, residuals], caption=f"Each point an example ({len(some):,} of {len(said):,})."),
                Paragraph(text=text),
            ],
        ),
        Section(title="The largest errors", blocks=[Passages(passages=passages)]),
    ]
