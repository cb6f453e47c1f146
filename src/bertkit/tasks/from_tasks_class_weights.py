"""How much the examples of each class count in the loss."""
# B targets, C classes.

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bertkit.foundation.errors import InputError

BALANCED = "balanced"


def class_weights(wanted: Sequence[str], classes: Sequence[str], targets: Tensor) -> Tensor:
    """Weights (C,) from `balanced`, or from `CLASS=NUMBER` for some classes, the others having 1.

    Balanced, all classes weigh alike in sum (scikit-learn's rule). Either way the mean over `targets` (B,) is 1, those
    below 0 left out, so that weights change what is learnt from and not the size of a step. Raises `InputError`.
    """
    counts = torch.bincount(targets[targets >= 0], minlength=len(classes)).double()
    if tuple(wanted) == (BALANCED,):
        weights = torch.where(counts > 0, 1 / counts.clamp(min=1), 0.0)
        weights = torch.where(counts > 0, weights, weights.max())  # no example is there to weigh
    else:
        weights = _given(wanted, classes)
    return (weights * counts.sum() / (weights * counts).sum()).float()


def _given(wanted: Sequence[str], classes: Sequence[str]) -> Tensor:
    weights = torch.ones(len(classes), dtype=torch.float64)
    for text in wanted:
        name, equals, number = text.rpartition("=")
        if not equals or name not in classes:
            known = ", ".join(map(repr, classes[:10])) + (", …" if len(classes) > 10 else "")
            raise InputError(
                f"class_weights {text!r} is unknown: give balanced, or CLASS=NUMBER once for each class of {known}"
            )
        weights[list(classes).index(name)] = _weight(number, text)
    return weights


def _weight(number: str, text: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise InputError(f"class_weights {text!r} needs a number above 0 after the last '='")
    return weight
