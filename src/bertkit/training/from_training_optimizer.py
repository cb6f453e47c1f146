"""What all optimisers share: clipped gradients, two moments of every parameter, and their state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed import all_reduce
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from bertkit.training.options import OptimizerOptions
from bertkit.training.pace import Pace


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
    veto: Tensor | None = None
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
            veto=self.veto,
        )

    def overwrite(self, tensors: list[Tensor], values: tuple[Tensor, ...] | list[Tensor]) -> None:
        """Give tensors of the group their new values, unless there is a veto; nobody waits to read it."""
        if self.veto is None:
            torch._foreach_copy_(tensors, values)
            return
        vetoed = self.veto.bool()
        for tensor, value in zip(tensors, values, strict=True):
            torch.where(vetoed, tensor, value, out=tensor)


class Optimizer(ABC):
    """Moves parameters by the exponential means of their gradients and squared gradients.

    Parameters that need no gradient are left alone; those that `paces` does not name have the pace of the run.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        options: OptimizerOptions,
        paces: Mapping[str, Pace] | None = None,
    ) -> None:
        self.options = options
        self.parameters = {name: parameter for name, parameter in named_parameters if parameter.requires_grad}
        self.first_moments = {name: torch.zeros_like(parameter) for name, parameter in self.parameters.items()}
        self.second_moments = {name: torch.zeros_like(parameter) for name, parameter in self.parameters.items()}
        self.updates = 0
        self._alike: defaultdict[tuple[bool, Pace], list[str]] = defaultdict(list)
        for name, parameter in self.parameters.items():
            self._alike[parameter.ndim > 1, (paces or {}).get(name, Pace())].append(name)

    @torch.no_grad()
    def step(self, learning_rate: float, veto: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Clip, update, drop the gradients, and return the gradient norm before clipping.

        `veto` says from that norm whether to leave the update out: 1.0, a scalar on the device, or 0.0.
        """
        norm = _whole(torch.nn.utils.get_total_norm([p.grad for p in self.parameters.values() if p.grad is not None]))
        scale = (norm / self.options.max_grad_norm).clamp(min=1.0)
        vetoed = None if veto is None else veto(norm)
        self.updates += 1
        for (matrices, pace), alike in self._alike.items():
            names = [name for name in alike if self.parameters[name].grad is not None]
            if names:
                group = self._group(names, matrices, self.updates - pace.first_step, vetoed)
                self._update(group, learning_rate * pace.rate_factor, scale)
        for parameter in self.parameters.values():
            parameter.grad = None
        return norm

    @abstractmethod
    def _update(self, group: ParameterGroup, learning_rate: float, scale: Tensor) -> None:
        """Change parameters and moments in place, by the gradients divided by `scale`, unless there is a veto."""

    def _weight_decay(self, group: ParameterGroup) -> float:
        return self.options.weight_decay if group.matrices else 0.0

    def _group(self, names: list[str], matrices: bool, updates: int, veto: Tensor | None) -> ParameterGroup:
        parameters = [self.parameters[name] for name in names]
        return ParameterGroup(
            parameters=list(parameters),
            gradients=[p.grad for p in parameters if p.grad is not None],
            first_moments=[self.first_moments[name] for name in names],
            second_moments=[self.second_moments[name] for name in names],
            matrices=matrices,
            updates=updates,
            veto=veto,
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
