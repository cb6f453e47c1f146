"""How the loss of training differs from the one of evaluation."""
# C classes.

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class LossShape:
    """What changes a cross-entropy, in the form of `torch.nn.CrossEntropyLoss`; nothing by default."""

    label_smoothing: float = 0.0
    """Share of a target's probability that all classes get alike (Szegedy et al. 2016, section 7)."""
    class_weights: Tensor | None = None
    """(C,) factors of the losses of each class's examples."""

    def to(self, device: torch.device) -> LossShape:
        """The same on a device."""
        weights = self.class_weights
        return replace(self, class_weights=None if weights is None else weights.to(device))


PLAIN = LossShape()
