"""AdamW with the paper's exclusions from weight decay."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from bertkit.training.optimizer import Optimizer, ParameterGroup

_CORRECTION_IS_ONE = 1e9
"""A step count at which 1 - beta**count is exactly 1 in float64: Adam without bias correction."""


class AdamW(Optimizer):
    """Decoupled weight decay (Loshchilov and Hutter 2019) with or without Adam's bias correction.

    Without it the update is google-research/bert's AdamWeightDecayOptimizer. Uses torch's fused kernel.
    """

    def _update(self, group: ParameterGroup, learning_rate: float, scale: Tensor) -> None:
        count = float(group.updates - 1) if self.options.corrects_bias else _CORRECTION_IS_ONE
        adamw(
            group.parameters,
            group.gradients,
            group.first_moments,
            group.second_moments,
            [],
            [torch.full((), count, device=parameter.device) for parameter in group.parameters],
            fused=True,
            grad_scale=scale.float(),  # the only type that the kernel takes
            found_inf=group.veto,
            amsgrad=False,
            beta1=self.options.beta1,
            beta2=self.options.beta2,
            lr=learning_rate,
            weight_decay=self._weight_decay(group),
            eps=self.options.epsilon,
            maximize=False,
        )
