"""How a step is shared by processes (DDP, FSDP2), and how its layers are compiled or computed again."""

from __future__ import annotations

import importlib.util
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Generic

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import InputError
from bertkit.training.options import Parallel
from bertkit.training.step import LossTerm, MicroBatchT, Objective, OutputsT

# Said once of a model that returns some rows of a larger tensor; no objective changes logits in place.
warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")


class _Forward(nn.Module, Generic[MicroBatchT, OutputsT]):
    """A micro-batch to the terms of its loss, as one module.

    What processes exchange hangs on its forward pass: a parameter that the loss alone reads, such as the decoder's
    bias, has to be read inside it.
    """

    def __init__(self, objective: Objective[MicroBatchT, OutputsT]) -> None:
        super().__init__()
        self.module, self._objective = objective.module, objective

    def forward(self, micro_batch: MicroBatchT) -> Mapping[str, LossTerm]:
        return self._objective.terms(micro_batch, self._objective.outputs(micro_batch))


class Replicas(Generic[MicroBatchT, OutputsT]):
    """An objective whose gradients are averaged over the processes of a group.

    A process alone trains the module itself. `fsdp` takes the module from the CPU to the group's device.
    """

    def __init__(
        self,
        objective: Objective[MicroBatchT, OutputsT],
        group: ProcessGroup | None = None,
        parallel: Parallel = "ddp",
    ) -> None:
        self.group = ProcessGroup() if group is None else group
        self.module = objective.module
        self._alone = _Forward(objective)
        self._together: nn.Module = self._alone
        if self.group.size == 1:
            return
        if parallel == "fsdp":
            shard(self._alone, self.group)
            return
        # torch looks for parameters without a gradient, which keeps it from sorting its buckets again after the first
        # step, by which a resumed run would sum in another order; and it allows parameters that an objective leaves
        # out. It warns where it finds none, so there is one, on the module's device and behind the module's own.
        self._alone.unused = nn.ParameterList([torch.zeros((), device=next(self.module.parameters()).device)])
        self._together = DistributedDataParallel(self._alone, find_unused_parameters=True)

    def terms(self, micro_batch: MicroBatchT) -> Mapping[str, LossTerm]:
        """Terms of the loss of a micro-batch on the module's device; gradients are exchanged in its backward pass."""
        forward = self._together if torch.is_grad_enabled() else self._alone
        terms: Mapping[str, LossTerm] = forward(micro_batch)
        return terms

    def turns(self, micro_batches: Sequence[MicroBatchT], turns: int) -> Iterator[tuple[MicroBatchT, int]]:
        """Every micro-batch with the factor of its loss that makes up for averaging.

        `turns` is the largest number of micro-batches of a process. One that has fewer repeats its last with factor 0,
        because the processes exchange weights and gradients in every pass, and would wait for one another anyhow.
        """
        for turn in range(turns):
            with self._gradients_kept_back() if turn + 1 < turns else nullcontext():
                if turn < len(micro_batches):
                    yield micro_batches[turn], self.group.size
                else:
                    yield micro_batches[-1], 0

    def _gradients_kept_back(self) -> AbstractContextManager[None]:
        """Let whole replicas exchange gradients with the last pass alone; shards have no room to keep them."""
        together = self._together
        return together.no_sync() if isinstance(together, DistributedDataParallel) else nullcontext()

    def whole_weights(self) -> dict[str, Tensor]:
        """The module's weights on the CPU, for the first process; the others get none."""
        weights = {}
        for name, tensor in self.module.state_dict().items():
            whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self.group.is_main:
                weights[name] = whole.cpu()
        return weights


def shard(module: nn.Module, group: ProcessGroup) -> None:
    """Shard layer by layer, so that one is whole at a time."""
    mesh = init_device_mesh(group.device.type, (group.size,))
    for child in list(module.modules()):
        for layer in child if isinstance(child, nn.ModuleList) else ():
            fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)


_COMPILERS = ("c++", "g++", "clang++")


def compile_layers(layers: nn.ModuleList, device: torch.device) -> None:
    """Compile what every layer does to each token alone, once for all numbers of tokens; attention stays as it is.

    Raises `InputError` where something that compiles for `device` is missing.
    """
    if not any(map(shutil.which, (os.environ.get("CXX", ""), *_COMPILERS))):
        raise InputError("--compile needs a C++ compiler, and there is no g++ or clang++: install one or leave it out")
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise InputError("--compile needs Triton on a GPU: pip install triton, or leave it out")
    for layer in layers:
        layer.transform = torch.compile(layer.transform, dynamic=True)  # type: ignore[assignment, arg-type]


def recompute_layers(layers: nn.ModuleList) -> None:
    """Let the backward pass run each layer again from its input (Chen et al. 2016), with the same dropout.

    Losses and gradients are the same bits.
    """
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
