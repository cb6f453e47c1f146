"""What the page says of a classifier, and of a model that gives scores."""
# N examples, K thresholds, C classes.

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_curve, precision_recall_fscore_support

from bertkit.reports.evaluation.calibration import calibration_section
from bertkit.reports.evaluation.evaluated import Evaluated, excerpt
from bertkit.reports.page import Block, Matrix, Paragraph, Passage, Passages, Plots, Section, Table
from bertkit.reports.plots import Axis, Bars, Points, Series, plot

_MOST_POINTS = 400
"""Of a line: more are not seen and make the page heavy."""


@dataclass(frozen=True, eq=False)
class ThresholdCurve:
    """A class is said where its probability is at least the threshold; thresholds (K,) rise."""

    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    @classmethod
    def of(cls, chances: NDArray[np.float64], is_class: NDArray[np.bool_]) -> ThresholdCurve:
        """At every probability (N,) that occurs."""
        precision, recall, thresholds = precision_recall_curve(is_class, chances)
        return cls(thresholds, precision[:-1], recall[:-1])

    def at(self, threshold: float) -> tuple[float, float, float]:
        """Precision, recall and F1; 0 where the class is never said."""
        place = int(np.searchsorted(self.thresholds, threshold))
        if place == len(self.thresholds):
            return 0.0, 0.0, 0.0
        return float(self.precision[place]), float(self.recall[place]), float(self.f1[place])

    @property
    def f1(self) -> NDArray[np.float64]:
        """(K,), 0 where nothing is right."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)


def class_threshold_section(chances: NDArray[np.float64], is_class: NDArray[np.bool_], name: str) -> Section:
    """For two classes: what another threshold than one half would give."""
    if is_class.all() or not is_class.any():
        nothing: list[Block] = [Paragraph(text="All examples have one class: there is no threshold to choose.")]
        return Section(title=f"When to say {name}", blocks=nothing)
    curve = ThresholdCurve.of(chances, is_class)
    best = int(curve.f1.argmax())
    precision, recall, f1 = curve.at(0.5)
    some = np.unique(np.linspace(0, len(curve.thresholds) - 1, _MOST_POINTS).astype(np.int64))
    x = curve.thresholds[some].tolist()
    lines = [
        Series(label=label, x=x, y=values[some].tolist(), colour=colour)
        for colour, (label, values) in enumerate(
            (("precision", curve.precision), ("recall", curve.recall), ("F1", curve.f1))
        )
    ]
    over = plot(
        [*lines, Points(label="best F1", x=[curve.thresholds[best]], y=[curve.f1[best]], colour=2)],
        Axis(label=f"say {name} from this probability on", limits=(0, 1)),
        Axis(label="", limits=(0, 1.02)),
        "class-threshold",
    )
    against = plot(
        [
            Series(label="", x=curve.recall[some].tolist(), y=curve.precision[some].tolist(), colour=0),
            Points(label="one half", x=[recall], y=[precision], colour=1),
            Points(label="best F1", x=[curve.recall[best]], y=[curve.precision[best]], colour=2),
        ],
        Axis(label="recall", limits=(0, 1.02)),
        Axis(label="precision", limits=(0, 1.02)),
        "precision-recall",
    )
    text = (
        f"The model says {name} from one half on, which gives it precision {precision:.3f}, recall "
        f"{recall:.3f} and F1 {f1:.3f}. The highest F1 of {name} is {curve.f1[best]:.3f}, from "
        f"{curve.thresholds[best]:.3f} on. Chosen on these examples, it looks better than it is: choose it on examples "
        "that you do not report on."
    )
    caption = "Left: over the threshold. Right: one against the other."
    return Section(
        title=f"When to say {name}", blocks=[Plots(svgs=[over, against], caption=caption), Paragraph(text=text)]
    )


_MOST_CLASSES = 24
"""Of a matrix that one can still read."""
_ERRORS = 20
_CONFUSIONS = 8


def class_sections(found: Evaluated) -> list[Section]:
    """Classes, calibration, for two classes the threshold, and the surest errors."""
    chances = found.logits.double().softmax(-1).numpy()  # (N, C)
    said, labels = chances.argmax(-1), found.targets.numpy()  # (N,)
    names = found.task.classes or ()
    sections = [
        class_table_section(said, labels, names, "class"),
        calibration_section(chances.max(-1), said == labels, "examples"),
    ]
    if len(names) == 2:
        sections.append(class_threshold_section(chances[:, 1], labels == 1, names[1]))
    return [*sections, _errors(found, chances, said, labels, names)]


def class_table_section(said: NDArray[np.int64], labels: NDArray[np.int64], names: Sequence[str], what: str) -> Section:
    """Precision, recall and F1 by class, and which is taken for which."""
    places = range(len(names))
    scores = np.stack(precision_recall_fscore_support(labels, said, labels=places, zero_division=0.0), -1)  # (C, 4)
    predicted = np.bincount(said, minlength=len(names))
    rows = [
        (name, *(f"{score:.3f}" for score in row[:3]), f"{row[3]:.0f}", f"{count:,}")
        for name, row, count in zip(names, scores, predicted, strict=True)
    ]
    occurs = (scores[:, 3] > 0) | (predicted > 0)
    rows.append(("mean", *(f"{score:.3f}" for score in scores[occurs, :3].mean(0)), "", ""))
    table = Table(
        head=(what, "precision", "recall", "F1", "support", "predicted"),
        rows=rows,
        caption="The mean counts each that occurs alike (macro average).",
    )
    blocks: list[Block] = [table, _matrix(said, labels, names)]
    pairs = Counter(
        (names[is_], names[says]) for is_, says in zip(labels.tolist(), said.tolist(), strict=True) if is_ != says
    ).most_common(_CONFUSIONS)
    if len(names) > 2 and pairs:
        listed = "; ".join(f"{is_} taken for {says}, {count:,} times" for (is_, says), count in pairs)
        blocks.append(Paragraph(text=f"Most often confused: {listed}."))
    return Section(title=f"By {what}", blocks=blocks)


def _matrix(said: NDArray[np.int64], labels: NDArray[np.int64], names: Sequence[str]) -> Matrix:
    """Of all classes, or of those with the most errors."""
    is_wrong = said != labels
    errors = np.bincount(labels[is_wrong], minlength=len(names)) + np.bincount(said[is_wrong], minlength=len(names))
    kept = sorted(np.argsort(-errors, kind="stable")[:_MOST_CLASSES].tolist())
    left_out = "" if len(kept) == len(names) else f" The {len(kept)} of {len(names)} with the most errors."
    return Matrix(
        labels=[names[place] for place in kept],
        counts=confusion_matrix(labels, said, labels=range(len(names)))[np.ix_(kept, kept)].tolist(),
        caption=f"Row: what it is. Column: what the model says. Shaded by the share of the row.{left_out}",
    )


def _errors(
    found: Evaluated,
    chances: NDArray[np.float64],
    said: NDArray[np.int64],
    labels: NDArray[np.int64],
    names: Sequence[str],
) -> Section:
    examples = found.instances.examples
    wrong = np.flatnonzero(said != labels)
    worst = wrong[np.argsort(-chances[wrong, said[wrong]], kind="stable")][:_ERRORS]
    passages = []
    for index in worst.tolist():
        sure, right = chances[index, said[index]], chances[index, labels[index]]
        head = f"predicted {names[said[index]]} ({sure:.1%}), true label {names[labels[index]]} ({right:.1%})"
        text = "  |  ".join(examples.record(index).values())
        passages.append(Passage(head=head, pieces=excerpt(text), note=examples.place(index)))
    caption = "The surest errors come first; wrong labels in the data are often among them."
    title = f"The worst of {len(wrong):,} errors"
    return Section(title=title, blocks=[Passages(passages=passages, caption=caption if passages else "None.")])


_BINS = 30
_SCORES_MOST_POINTS = 2000
"""Of the scatter plot: more are not told apart and make the page heavy."""


def score_sections(found: Evaluated) -> list[Section]:
    """Predictions against labels, and the largest errors."""
    said, labels = found.logits.double().squeeze(-1).numpy(), found.targets.double().numpy()  # (N,)
    errors = said - labels
    ends = [float(min(said.min(), labels.min())), float(max(said.max(), labels.max()))]
    some = np.unique(np.linspace(0, len(said) - 1, _SCORES_MOST_POINTS).astype(np.int64))
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
            head=f"predicted {said[index]:.2f}, true score {labels[index]:.2f} ({errors[index]:+.2f})",
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
