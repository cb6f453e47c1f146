"""A few labelled examples of every class."""
# N examples.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bertkit.foundation.randomness import derive_key, generator


def label_sample(labels: Sequence[object], per_class: int | None, seed: int) -> NDArray[np.int64]:
    """Indices of at most `per_class` examples of each class, ascending; None takes all.

    With one seed a smaller sample is part of a larger one.
    """
    _, classes = np.unique(np.asarray(labels), return_inverse=True)
    if per_class is None:
        return np.arange(len(classes))
    order = generator(derive_key(seed, "label sample")).permutation(len(classes))
    chosen = [order[classes[order] == number][:per_class] for number in range(classes.max() + 1)]
    return np.sort(np.concatenate(chosen))
