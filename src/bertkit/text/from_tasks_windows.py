"""Windows over a text that is longer than the model reads at once."""
# n pieces, W windows.

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def window_starts(length: int, room: int, stride: int) -> list[int]:
    """Where windows of `room` pieces start so that all of `length` are covered; a single 0 for a short text."""
    stride = min(stride, room)
    return [0, *range(stride, max(0, length - room) + stride, stride)] if length > room else [0]


def maximum_context(starts: list[int], room: int, length: int) -> list[NDArray[np.bool_]]:
    """For each window which of its pieces have no more context in another one; each piece is in one window only.

    The context of a piece is the smaller number of pieces on its two sides; of equals the longer window, then the
    first, as google-research/bert counts it.
    """
    if len(starts) == 1:
        return [np.ones(length, bool)]
    best = np.full(length, -np.inf)
    owner = np.full(length, -1)
    for number, start in enumerate(starts):
        stop = min(start + room, length)
        places = np.arange(stop - start)
        context = np.minimum(places, places[::-1]) + 0.01 * (stop - start)
        better = context > best[start:stop]
        best[start:stop][better] = context[better]
        owner[start:stop][better] = number
    return [owner[start : start + room] == number for number, start in enumerate(starts)]
