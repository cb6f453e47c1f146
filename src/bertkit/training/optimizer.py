"""AdamW with the paper's exclusions from weight decay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.adamw import adamw

from bertkit.training.options import OptimizerOptions

_CORRECTION_IS_ONE = 1e9
"""A step count at which 1 - beta**count is exactly 1 in float64: Adam without bias correction."""


class AdamW:
    """Decoupled weight decay (Loshchilov and Hutter 2019) with or without Adam's bias correction.

    Without it the update is google-research/bert's AdamWeightDecayOptimizer. Vectors (biases, LayerNorm) are not
    decayed; parameters that need no gradient are left alone. Uses torch's fused kernel.
    """

    def __init__(self, named_parameters: Iterable[tuple[str, nn.Parameter]], options: OptimizerOptions) -> None:
        self.options = options
        self.parameters = {name: parameter for name, parameter in named_parameters if parameter.requires_grad}
        self.first_moments = {name: torch.zeros_like(parameter) for name, parameter in self.parameters.items()}
        self.second_moments = {name: torch.zeros_like(parameter) for name, parameter in self.parameters.items()}
        self.updates = 0

    @torch.no_grad()
    def step(self, learning_rate: float) -> Tensor:
        """Clip, update, drop the gradients, and return the gradient norm before clipping."""
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm  # of the shards of all processes
        scale = (norm / self.options.max_grad_norm).clamp(min=1.0).float()  # the only type that the kernel takes
        self.updates += 1
        count = float(self.updates - 1) if self.options.bias_correction else _CORRECTION_IS_ONE
        for decayed in (True, False):
            names = [n for n, p in self.parameters.items() if (p.ndim > 1) == decayed and p.grad is not None]
            if not names:
                continue
            parameters: list[Tensor] = [self.parameters[n] for n in names]
            adamw(
                parameters,
                [p.grad for p in parameters if p.grad is not None],
                [self.first_moments[n] for n in names],
                [self.second_moments[n] for n in names],
                [],
                [torch.full((), count, device=p.device) for p in parameters],
                fused=True,
                grad_scale=scale,
                amsgrad=False,
                beta1=self.options.beta1,
                beta2=self.options.beta2,
                lr=learning_rate,
                weight_decay=self.options.weight_decay if decayed else 0.0,
                eps=self.options.epsilon,
                maximize=False,
            )
        for parameter in self.parameters.values():
            parameter.grad = None
        return norm

    def state(self) -> dict[str, Tensor]:
        """Moments and update count by name, to be saved."""
        first = {f"first.{name}": tensor for name, tensor in self.first_moments.items()}
        second = {f"second.{name}": tensor for name, tensor in self.second_moments.items()}
        return {"updates": torch.tensor(self.updates), **first, **second}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned."""
        self.updates = int(state["updates"])
        for name in self.parameters:
            self.first_moments[name].copy_(state[f"first.{name}"])
            self.second_moments[name].copy_(state[f"second.{name}"])
