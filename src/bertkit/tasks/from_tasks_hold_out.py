"""A part of the training examples set aside for evaluation."""
# N examples.

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from bertkit.foundation.errors import InputError
from bertkit.foundation.randomness import derive_key, generator
from bertkit.tasks.examples import Examples

ExamplesT = TypeVar("ExamplesT", bound=Examples)


def hold_out(
    examples: ExamplesT, strata: Sequence[int], share: float, seed: int, groups: Sequence[int] | None = None
) -> tuple[ExamplesT, ExamplesT]:
    """Split into (rest, held out), of which the second has about `share` (at most 0.5) of every stratum.

    `strata` (N,) are class numbers, or all the same. Every stratum stays represented in the rest. Examples of one of
    `groups` (N,), numbered from 0 and of one stratum each, stay together, unless there are too few groups. Raises
    `InputError` where nothing can be held out.
    """
    assert 0 < share <= 0.5
    values, owners = np.asarray(strata), np.arange(len(strata))
    if groups is not None and (max(groups) + 1) * share >= 1:
        owners = np.asarray(groups)
        values = values[np.unique(owners, return_index=True)[1]]
    order = generator(derive_key(seed, "hold out")).permutation(len(values))
    order = order[np.argsort(values[order], kind="stable")]
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    order = order[counts[places[order]] > 1]
    # Every 1/share-th in the order of the strata: at least two apart, so no stratum is taken whole.
    taken = order[((np.arange(math.floor(len(order) * share)) + 0.5) / share).astype(np.int64)]
    if not len(taken):
        raise InputError(f"{len(values)} training examples are too few to hold some out: give --dev FILE")
    is_taken = np.zeros(len(values), bool)
    is_taken[taken] = True
    return examples.take(np.flatnonzero(~is_taken[owners])), examples.take(np.flatnonzero(is_taken[owners]))
