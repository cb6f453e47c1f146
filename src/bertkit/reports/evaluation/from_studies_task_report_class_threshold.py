"""Precision and recall of one class over the probability from which on it is said."""
# N examples, K thresholds.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from bertkit.studies.figures import Axis, Points, Series, plot
from bertkit.studies.report import Block, Paragraph, Plots, Section

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
        f"{curve.thresholds[best]:.3f} on. Chosen on these very examples, it flatters; choose it on examples that you "
        "do not report on."
    )
    caption = "Left: over the threshold. Right: one against the other."
    return Section(
        title=f"When to say {name}", blocks=[Plots(svgs=[over, against], caption=caption), Paragraph(text=text)]
    )
