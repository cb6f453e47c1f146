"""Whether a model is right as often as it says."""
# N predictions, M bins.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertkit.reports.page import Paragraph, Plots, Section
from bertkit.reports.plots import Axis, Bars, Series, plot

_BINS = 15
"""As Guo et al. 2017 take them."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Bins of equal width over the probability that a model gives its predictions (Guo et al. 2017, section 2)."""

    counts: NDArray[np.int64]
    """(M,)"""
    confidences: NDArray[np.float64]
    """(M,) mean probability, 0 in an empty bin."""
    accuracies: NDArray[np.float64]
    """(M,) share that is right, 0 in an empty bin."""

    @classmethod
    def of(cls, probabilities: NDArray[np.float64], is_right: NDArray[np.bool_], bins: int = _BINS) -> Calibration:
        """Of predictions with their probabilities (N,); bin m holds those in ((m - 1) / M, m / M]."""
        places = np.clip(np.ceil(probabilities * bins).astype(np.int64) - 1, 0, bins - 1)
        counts = np.bincount(places, minlength=bins)
        some = np.maximum(counts, 1)
        return cls(
            counts,
            np.bincount(places, weights=probabilities, minlength=bins) / some,
            np.bincount(places, weights=is_right, minlength=bins) / some,
        )

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of share right and probability, by predictions."""
        gaps = np.abs(self.accuracies - self.confidences)
        return float((self.counts * gaps).sum() / max(1, self.counts.sum()))

    @property
    def overconfidence(self) -> float:
        """Mean probability less the share that is right."""
        total = max(1, self.counts.sum())
        return float((self.counts * (self.confidences - self.accuracies)).sum() / total)


def calibration_section(probabilities: NDArray[np.float64], is_right: NDArray[np.bool_], predictions: str) -> Section:
    """Reliability diagram and expected calibration error; `predictions` says of what, in the plural."""
    found = Calibration.of(probabilities, is_right)
    edges = np.arange(len(found.counts) + 1) / len(found.counts)
    middles = ((edges[:-1] + edges[1:]) / 2).tolist()
    used = found.counts > 0
    share = Axis(label="probability that the model gives", limits=(0, 1))
    reliability = plot(
        [
            Bars(
                label="share that is right", x=middles, y=found.accuracies.tolist(), width=0.9 / len(middles), colour=0
            ),
            Series(
                label="mean probability in the bin",
                x=found.confidences[used].tolist(),
                y=found.confidences[used].tolist(),
                dashed=True,
                colour=1,
            ),
        ],
        share,
        Axis(label="share that is right", limits=(0, 1.02)),
        f"reliability-{predictions}",
    )
    counts = plot(
        [Bars(label="", x=middles, y=found.counts.tolist(), width=0.9 / len(middles), colour=3)],
        share,
        Axis(label=predictions),
        f"confidence-{predictions}",
    )
    tendency = "overconfident" if found.overconfidence > 0 else "underconfident"
    text = (
        f"On average the model gives {probabilities.mean():.1%} and is right in {is_right.mean():.1%} of the "
        f"{predictions}: it is {tendency} by {abs(found.overconfidence):.1%}. The expected calibration error, the mean "
        f"distance between the two in {len(found.counts)} bins of equal width (Guo et al. 2017), is {found.error:.1%}."
    )
    caption = (
        "Left: where bars end below the dashed line, the model is overconfident. Right: how many fall into each bin."
    )
    return Section(
        title="How far to trust the probabilities",
        blocks=[Paragraph(text=text), Plots(svgs=[reliability, counts], caption=caption)],
    )
