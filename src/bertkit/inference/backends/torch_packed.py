"""The backend that runs bertkit's own modules over packed batches, on a CPU with prepacked bf16 or int8 weights."""
# N rows, I inputs, O outputs, R tokens that are read, H hidden.

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bertkit.core.batch import PackedBatch
from bertkit.core.devices import resolve_precision, token_budget
from bertkit.core.errors import InputError
from bertkit.core.machine import InferencePrecision
from bertkit.core.packing import PackedArrays
from bertkit.inference.backends.base import (
    MASKED_LM,
    TASK,
    HeadLogits,
    Output,
    PooledStates,
    SequenceStates,
    TokenStates,
    Want,
    find_positions,
)
from bertkit.inference.backends.table import BackendOptions
from bertkit.inference.backends.torch_int8 import replace_linears
from bertkit.model.layers import BertLayer
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.int8 import Int8Weight
from bertkit.pretrained.models import BertWithHeads
from bertkit.tasks.model import TaskModel, load_task_model
from bertkit.tasks.task_folder import has_task


class TorchPacked:
    """A module in evaluation mode as it is: one that is in training is evaluated without a copy."""

    name = "torch"
    is_padded = False

    def __init__(self, module: BertWithHeads | TaskModel) -> None:
        self._module = module.eval()
        self._bert = module.bert
        self._is_int8 = False

    @classmethod
    def obstacle(cls, folder: ModelFolder, options: BackendOptions) -> str | None:
        """int8 anywhere but on a CPU, or on one that lacks its instructions."""
        if options.precision != "int8":
            return None
        return None if options.device == "cpu" else _INT8_ON_CPUS.format(device=options.device)

    @classmethod
    def open(cls, folder: ModelFolder, options: BackendOptions) -> TorchPacked:
        """The folder's module, and on a CPU torch's number of threads as `options` say, in the whole process."""
        if options.device == "cpu" and torch.get_num_threads() != options.threads:
            torch.set_num_threads(options.threads)
        module: TaskModel | BertWithHeads
        if has_task(folder):
            module, _ = load_task_model(folder)
        else:
            module, report = BertWithHeads.from_folder(folder)
            report.show()
        int8_weights = folder.int8_weights() if options.precision == "int8" else None
        return cls.frozen(module, torch.device(options.device), options.precision, int8_weights)

    @classmethod
    def frozen(
        cls,
        module: BertWithHeads | TaskModel,
        device: torch.device,
        precision: InferencePrecision = "float32",
        int8_weights: Mapping[str, Int8Weight] | None = None,
    ) -> TorchPacked:
        """Take over a module for inference alone: on a device, and with bf16 or int8 weights where `precision` says so.

        `int8_weights` are those of an int8 folder, as `ModelFolder.int8_weights` gives them: "auto" uses them on a CPU.
        Other models are quantized here. Raises `InputError` for int8 where it cannot be computed.
        """
        if precision == "int8" and device.type != "cpu":
            raise InputError(_INT8_ON_CPUS.format(device=device.type))
        module.eval().requires_grad_(False).to(device)
        if precision == "int8" or (precision == "auto" and int8_weights and device.type == "cpu"):
            replace_linears(module.bert, int8_weights or {})
            backend = cls(module)
            backend._is_int8 = True
            return backend
        if resolve_precision(precision, device) == "bf16":
            module.to(torch.bfloat16)
            if can_prepack(device):
                _prepack(module)
        return cls(module)

    @property
    def device(self) -> str:
        """Where the weights are."""
        return self._word_embeddings.device.type

    @property
    def precision(self) -> str:
        """Of the weights."""
        if self._is_int8:
            return "int8"
        return "bf16" if self._word_embeddings.dtype == torch.bfloat16 else "float32"

    @property
    def max_tokens(self) -> int:
        """As many as suit the device."""
        return token_budget(self._word_embeddings.device, "inference")

    @property
    def streams(self) -> int:
        """One for each of torch's threads on a CPU, one on other devices."""
        return torch.get_num_threads() if self.device == "cpu" else 1

    @property
    def layers(self) -> range:
        """All."""
        return range(self._last_layer + 1)

    @property
    def has_pooler(self) -> bool:
        """Whether the encoder has one."""
        return self._bert.pooler is not None

    @property
    def heads(self) -> Collection[str]:
        """The task's, or masked LM where the folder has its weights."""
        if isinstance(self._module, TaskModel):
            return (TASK,)
        return () if self._module.masked_lm is None else (MASKED_LM,)

    def start_stream(self) -> None:
        """Use one core in the calling thread; torch's setting for threads that others start stays as it is."""
        with _SETTING_THREADS:
            before = torch.get_num_threads()
            torch.set_num_threads(1)  # of this thread, and the default of those to come
            other = threading.Thread(target=torch.set_num_threads, args=(before,))
            other.start()
            other.join()

    def run(self, batch: PackedArrays, want: Want) -> Output:
        """One pass; the last layer computes no other tokens than those that are read."""
        with torch.inference_mode():
            packed = PackedBatch.of_packed(batch).to(self._word_embeddings.device)
            # By NumPy: torch would wake threads that take the cores from the streams.
            return tuple(tensor.float().cpu().numpy() for tensor in self._run(packed, batch, want))

    def _run(self, batch: PackedBatch, arrays: PackedArrays, want: Want) -> Iterable[Tensor]:
        match want:
            case PooledStates():
                yield self._bert(batch, output_positions=batch.cu_seqlens.new_empty(0)).pooler_output
            case SequenceStates(layers, "first"):
                yield from self._states(batch, layers, _places(find_positions(arrays, "first"), batch))
            case SequenceStates(layers, "mean"):
                lengths = batch.cu_seqlens.diff().long()
                for states in self._states(batch, layers, None):
                    yield torch.segment_reduce(states.float(), "mean", lengths=lengths, unsafe=True)
            case TokenStates(layers, positions):
                yield from self._states(batch, layers, _places(find_positions(arrays, positions), batch))
            case HeadLogits(head, positions):
                yield self._logits(batch, head, _places(find_positions(arrays, positions), batch))

    def _states(self, batch: PackedBatch, layers: Sequence[int], places: Tensor | None) -> Iterable[Tensor]:
        """Hidden states (R, H) of the tokens at `places`, of each layer."""
        if tuple(layers) == (self._last_layer,):
            yield self._bert(batch, output_positions=places).last_hidden_state
            return
        states = self._bert(batch, output_hidden_states=True).hidden_states
        yield from (states[layer] if places is None else states[layer][places] for layer in layers)

    def _logits(self, batch: PackedBatch, head: str, places: Tensor | None) -> Tensor:
        assert head in self.heads, f"there is no head {head}"
        if isinstance(self._module, TaskModel):
            return self._module(batch)  # type: ignore[no-any-return]
        assert self._module.masked_lm is not None
        (states,) = self._states(batch, (self._last_layer,), places)
        return self._module.masked_lm(states, self._word_embeddings)  # type: ignore[no-any-return]

    @property
    def _last_layer(self) -> int:
        return self._bert.config.num_hidden_layers

    @property
    def _word_embeddings(self) -> Tensor:
        return self._bert.embeddings.word_embeddings.weight


_INT8_ON_CPUS = "int8 is for CPUs: on {device} give precision bf16, float32 or auto"
_SETTING_THREADS = threading.Lock()


def _use_one_core() -> None:
    """Keep a forked child from waiting for ever for OpenMP's threads, of which it has none and would start none.

    A batch then runs on one core; batches side by side still use the others.
    """
    global _SETTING_THREADS  # noqa: PLW0603  # another thread of the parent may hold the old one
    _SETTING_THREADS = threading.Lock()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_core)


def _places(places: NDArray[np.int64] | None, batch: PackedBatch) -> Tensor | None:
    return None if places is None else torch.from_numpy(places).to(batch.input_ids.device)


def can_prepack(device: torch.device) -> bool:
    """Whether this CPU and this build of torch have the kernels of `PackedLinear`."""
    return (
        device.type == "cpu"
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


_ROWS = 2048
"""The number of rows that the layout of packed weights is made for; any other works."""


class PackedLinear(nn.Module):
    """A frozen linear layer in bf16 whose weights are laid out in memory as the CPU's matrix kernels read them.

    GELU is computed in the same pass where `gelu` names its form.
    """

    def __init__(self, linear: nn.Linear, gelu: str | None = None) -> None:
        super().__init__()
        weight = linear.weight.detach().to(torch.bfloat16)
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
        self._bias = None if linear.bias is None else linear.bias.detach().to(torch.bfloat16)
        self._operation, self._algorithm = ("none", "") if gelu is None else ("gelu", gelu)

    def forward(self, rows: Tensor) -> Tensor:
        """(N, I) to (N, O)."""
        return torch.ops.mkldnn._linear_pointwise(  # type: ignore[no-any-return]
            rows, self._weight, self._bias, self._operation, [], self._algorithm
        )


def _prepack(module: nn.Module) -> None:
    """Replace the linear layers inside `module` by packed ones; it can then neither be trained nor saved."""
    for child in list(module.modules()):
        if isinstance(child, BertLayer):
            assert isinstance(child.intermediate, nn.Linear) and isinstance(child.activation, nn.GELU)
            child.intermediate = PackedLinear(child.intermediate, child.activation.approximate)  # type: ignore[assignment]
            child.activation = nn.Identity()
    for child in list(module.modules()):
        for name, part in child.named_children():
            if isinstance(part, nn.Linear):
                setattr(child, name, PackedLinear(part))
