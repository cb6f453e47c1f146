"""LAMB: Adam for large batches."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bertkit.training.optimizer import Optimizer, ParameterGroup, tensor_norms


class Lamb(Optimizer):
    """Adam whose update of a matrix is as long as the matrix, times the rate (You et al. 2020, algorithm 2).

    As in the authors' code, vectors are neither decayed nor rescaled, and a matrix that is 0 moves as in Adam. Query,
    key and value count as one matrix.
    """

    def _update(self, group: ParameterGroup, learning_rate: float, scale: Tensor) -> None:
        options, shards = self.options, group.local
        torch._foreach_div_(shards.gradients, scale)
        shards.overwrite(
            shards.first_moments, torch._foreach_lerp(shards.first_moments, shards.gradients, 1 - options.beta1)
        )
        second_moments = torch._foreach_mul(shards.second_moments, options.beta2)
        torch._foreach_addcmul_(second_moments, shards.gradients, shards.gradients, 1 - options.beta2)
        shards.overwrite(shards.second_moments, second_moments)

        first_share = 1 - options.beta1**group.updates if options.corrects_bias else 1.0
        second_share = 1 - options.beta2**group.updates if options.corrects_bias else 1.0
        roots = torch._foreach_sqrt(shards.second_moments)
        torch._foreach_div_(roots, math.sqrt(second_share))
        torch._foreach_add_(roots, options.epsilon)
        updates = list(torch._foreach_div(shards.first_moments, roots))
        torch._foreach_div_(updates, first_share)
        torch._foreach_add_(updates, shards.parameters, alpha=self._weight_decay(group))
        if group.matrices:
            lengths, update_lengths = tensor_norms(shards.parameters, group), tensor_norms(updates, group)
            comparable = (lengths > 0) & (update_lengths > 0)
            ratios = torch.where(comparable, lengths / update_lengths, 1.0)
            torch._foreach_mul_(updates, list(ratios.unbind()))
        shards.overwrite(shards.parameters, torch._foreach_add(shards.parameters, updates, alpha=-learning_rate))
