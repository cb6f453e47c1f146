"""When to say that a text does not answer a question."""
# N questions.

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def best_threshold(odds: NDArray[np.float64], answered: NDArray[np.float64], unanswered: NDArray[np.float64]) -> float:
    """The threshold over which an answer is withheld that gives the highest mean score; of equals the lowest.

    `odds` (N,) are higher where no answer is likelier; the scores (N,) are those of giving and of withholding.
    """
    order = np.argsort(odds, kind="stable")
    odds = odds[order]
    # Of the first k questions in this order the answers are given, k from 0 to N.
    gains = np.concatenate([[0.0], np.cumsum(answered[order] - unanswered[order])])
    cuts = np.concatenate([[True], odds[1:] != odds[:-1], [True]])  # equal odds are decided alike
    best = int(np.argmax(np.where(cuts, gains, -np.inf)))
    if best == 0:
        return float(np.nextafter(odds[0], -np.inf))
    return float(odds[best - 1])
