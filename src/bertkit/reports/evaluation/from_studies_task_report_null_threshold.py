"""How often to say that a text has no answer, and what that does to the scores."""
# N questions, K thresholds.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertkit.studies.figures import Axis, Points, Series, plot
from bertkit.studies.report import Paragraph, Plots, Section
from bertkit.tasks.answer_evaluation import AnswerEvaluation

_MOST_POINTS = 400


@dataclass(frozen=True, eq=False)
class NullCurve:
    """Mean scores where an answer is withheld if the odds against one are over the threshold; thresholds (K,) rise."""

    thresholds: NDArray[np.float64]
    f1: NDArray[np.float64]
    exact: NDArray[np.float64]

    @classmethod
    def of(cls, found: AnswerEvaluation) -> NullCurve:
        """At every finite value of the odds (N,) that occurs."""
        order = np.argsort(found.null_odds, kind="stable")
        odds = found.null_odds[order]
        # With the threshold at the k-th odds the first k answers are given.
        gains = np.cumsum((found.given - found.withheld)[order], axis=0)  # (N, 2)
        last = np.flatnonzero(np.append(odds[1:] != odds[:-1], True) & np.isfinite(odds))
        means = (found.withheld.sum(0) + gains[last]) / len(odds)
        return cls(odds[last], means[:, 1], means[:, 0])


def null_threshold_section(found: AnswerEvaluation, threshold: float) -> Section:
    """The curve, with the threshold that the model has."""
    curve = NullCurve.of(found)
    now, best = found.figures(threshold), found.figures(found.threshold())
    some = np.unique(np.linspace(0, len(curve.thresholds) - 1, _MOST_POINTS).astype(np.int64))
    x = curve.thresholds[some].tolist()
    drawn = plot(
        [
            Series(label="F1", x=x, y=curve.f1[some].tolist(), colour=0),
            Series(label="exact match", x=x, y=curve.exact[some].tolist(), colour=1),
            Points(label="the model's threshold", x=[threshold], y=[now["f1"]], colour=4),
        ],
        Axis(label="log odds of no answer over which none is given"),
        Axis(label="", limits=(0, 1.02)),
        "null-threshold",
    )
    text = (
        f"The model withholds an answer over {threshold:.3f}: F1 {now['f1']:.3f}, of questions with an answer "
        f"{now['answerable_f1']:.3f}, and {now['unanswerable_accuracy']:.1%} of those without one are told apart. The "
        f"highest F1 here is {best['f1']:.3f}, at {found.threshold():.3f}."
    )
    return Section(
        title="When to give no answer",
        blocks=[
            Plots(svgs=[drawn], caption="Further left fewer answers are given, further right more."),
            Paragraph(text=text),
        ],
    )
