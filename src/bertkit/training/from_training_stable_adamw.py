"""StableAdamW: AdamW that slows down where its second moments lag behind."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bertkit.training.optimizer import Optimizer, ParameterGroup, tensor_norms


class StableAdamW(Optimizer):
    """AdamW with AdaFactor's update clipping, tensor by tensor (Wortsman et al. 2023, algorithm 2).

    The moments are the corrected ones, as the algorithm has them: their decay rates start at 0. ModernBERT used it
    without clipping gradients (`max_grad_norm` inf).
    """

    def _update(self, group: ParameterGroup, learning_rate: float, scale: Tensor) -> None:
        options, shards = self.options, group.local
        beta1, beta2 = self._decay_rate(options.beta1, group), self._decay_rate(options.beta2, group)
        torch._foreach_div_(shards.gradients, scale)
        shards.overwrite(shards.first_moments, torch._foreach_lerp(shards.first_moments, shards.gradients, 1 - beta1))
        second_moments = torch._foreach_mul(shards.second_moments, beta2)
        torch._foreach_addcmul_(second_moments, shards.gradients, shards.gradients, 1 - beta2)
        shards.overwrite(shards.second_moments, second_moments)

        roots = torch._foreach_sqrt(shards.second_moments)
        surprises = torch._foreach_div(shards.gradients, torch._foreach_clamp_min(roots, options.epsilon))
        sizes = [math.sqrt(parameter.numel()) for parameter in group.parameters]
        root_mean_squares = torch._foreach_div(tensor_norms(list(surprises), group).unbind(), sizes)

        torch._foreach_add_(roots, options.epsilon)
        updates = list(torch._foreach_div(shards.first_moments, roots))
        torch._foreach_add_(updates, shards.parameters, alpha=self._weight_decay(group))
        torch._foreach_div_(updates, torch._foreach_clamp_min(root_mean_squares, 1.0))
        shards.overwrite(shards.parameters, torch._foreach_add(shards.parameters, updates, alpha=-learning_rate))

    def _decay_rate(self, beta: float, group: ParameterGroup) -> float:
        if not self.options.corrects_bias:
            return beta
        return beta * (1 - beta ** (group.updates - 1)) / (1 - beta**group.updates)
