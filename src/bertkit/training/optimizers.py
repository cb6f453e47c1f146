"""AdamW, LAMB and StableAdamW over whole or sharded parameters, which may have schedules that differ."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed import all_reduce
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.optim.adamw import adamw

from bertkit.training.options import OptimizerName, OptimizerOptions


@dataclass(frozen=True)
class ParameterSchedule:
    """How a parameter learns; without arguments as the run does."""

    rate_factor: float = 1.0
    """Times the learning rate of the step."""
    first_step: int = 0
    """It is frozen before."""


@dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """Parameters that are updated alike, with their gradients and moments, of which each process may hold a shard."""

    parameters: list[Tensor]
    gradients: list[Tensor]
    first_moments: list[Tensor]
    second_moments: list[Tensor]
    matrices: bool
    """Whether they are matrices, which are decayed, or vectors (biases, LayerNorm), which are not."""
    updates: int
    """How many they have had, this one counted."""
    skip: Tensor | None = None
    """1.0 (scalar) where they are to stay as they are."""

    @property
    def local(self) -> ParameterGroup:
        """The shards that this process holds; a change in place is one of the whole tensors."""
        return ParameterGroup(
            parameters=_local(self.parameters),
            gradients=_local(self.gradients),
            first_moments=_local(self.first_moments),
            second_moments=_local(self.second_moments),
            matrices=self.matrices,
            updates=self.updates,
            skip=self.skip,
        )

    def overwrite(self, tensors: list[Tensor], values: tuple[Tensor, ...] | list[Tensor]) -> None:
        """Give tensors of the group their new values, unless the update is skipped; decided on the device."""
        if self.skip is None:
            torch._foreach_copy_(tensors, values)
            return
        skipped = self.skip.bool()
        for tensor, value in zip(tensors, values, strict=True):
            torch.where(skipped, tensor, value, out=tensor)


class Optimizer(ABC):
    """Moves parameters by the exponential means of their gradients and squared gradients.

    Parameters that need no gradient are left alone; those that `schedules` does not name learn as the run does.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        options: OptimizerOptions,
        schedules: Mapping[str, ParameterSchedule] | None = None,
    ) -> None:
        self.options = options
        self.parameters = {name: parameter for name, parameter in named_parameters if parameter.requires_grad}
        self.first_moments = {name: torch.zeros_like(parameter) for name, parameter in self.parameters.items()}
        self.second_moments = {name: torch.zeros_like(parameter) for name, parameter in self.parameters.items()}
        self.updates = 0
        schedules = {} if schedules is None else schedules
        self._first_steps = {name: schedule.first_step for name, schedule in schedules.items() if schedule.first_step}
        self._alike: defaultdict[tuple[bool, ParameterSchedule], list[str]] = defaultdict(list)
        for name, parameter in self.parameters.items():
            self._alike[parameter.ndim > 1, schedules.get(name, ParameterSchedule())].append(name)

    def unfreeze(self, step: int) -> None:
        """Let those parameters get gradients in `step` whose first step has come, and no others."""
        for name, first_step in self._first_steps.items():
            self.parameters[name].requires_grad_(step >= first_step)

    @torch.no_grad()
    def gradient_norm(self) -> Tensor:
        """Euclidean norm (scalar) of all gradients together; the CPU does not wait for it."""
        return _whole(torch.nn.utils.get_total_norm([p.grad for p in self.parameters.values() if p.grad is not None]))

    @torch.no_grad()
    def update(self, learning_rate: float, gradient_norm: Tensor, skip: Tensor | None = None) -> None:
        """Move the parameters by their gradients, scaled down to `max_grad_norm`, and drop the gradients.

        `skip` is 1.0, a scalar on the device, where parameters and moments are to stay as they are, else 0.0.
        """
        scale = (gradient_norm / self.options.max_grad_norm).clamp(min=1.0)
        self.updates += 1
        for (matrices, schedule), alike in self._alike.items():
            names = [name for name in alike if self.parameters[name].grad is not None]
            if names:
                group = self._group(names, matrices, self.updates - schedule.first_step, skip)
                self._update(group, learning_rate * schedule.rate_factor, scale)
        for parameter in self.parameters.values():
            parameter.grad = None

    @abstractmethod
    def _update(self, group: ParameterGroup, learning_rate: float, scale: Tensor) -> None:
        """Change parameters and moments in place, by the gradients divided by `scale`, unless the update is skipped."""

    def _weight_decay(self, group: ParameterGroup) -> float:
        return self.options.weight_decay if group.matrices else 0.0

    def _group(self, names: list[str], matrices: bool, updates: int, skip: Tensor | None) -> ParameterGroup:
        parameters = [self.parameters[name] for name in names]
        return ParameterGroup(
            parameters=list(parameters),
            gradients=[p.grad for p in parameters if p.grad is not None],
            first_moments=[self.first_moments[name] for name in names],
            second_moments=[self.second_moments[name] for name in names],
            matrices=matrices,
            updates=updates,
            skip=skip,
        )

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


def tensor_norms(shards: list[Tensor], group: ParameterGroup) -> Tensor:
    """Euclidean norms (N,) of N tensors that are sharded as the parameters of `group`, from this process's shards."""
    squares = torch.stack(torch._foreach_norm(shards)).square_()
    mesh = _mesh(group.parameters[0])
    if mesh is not None:
        all_reduce(squares, group=mesh.get_group())
    return squares.sqrt_()


def _mesh(parameter: Tensor) -> DeviceMesh | None:
    return parameter.device_mesh if isinstance(parameter, DTensor) else None


def _local(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


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
            found_inf=group.skip,
            amsgrad=False,
            beta1=self.options.beta1,
            beta2=self.options.beta2,
            lr=learning_rate,
            weight_decay=self._weight_decay(group),
            eps=self.options.epsilon,
            maximize=False,
        )


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


_OPTIMIZERS: dict[OptimizerName, type[Optimizer]] = {"adamw": AdamW, "lamb": Lamb, "stable-adamw": StableAdamW}


def new_optimizer(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    options: OptimizerOptions,
    schedules: Mapping[str, ParameterSchedule] | None = None,
) -> Optimizer:
    """The optimiser that `options` name, for the parameters that need a gradient."""
    return _OPTIMIZERS[options.optimizer](named_parameters, options, schedules)
