"""A projection into the residual stream."""

from __future__ import annotations

from torch import nn


class ResidualLinear(nn.Linear):
    """One of `additions` projections without bias that are added up; each starts that much smaller.

    With the deviation over the root of their number, the sum starts as large as one (Radford et al. 2019, section 2.3).
    """

    def __init__(self, in_features: int, out_features: int, additions: int) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.additions = additions
