"""The backend that runs bertkit's own modules over packed batches, in bf16 on a CPU with prepacked weights."""
# N rows, I inputs, O outputs.

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from bertkit.core.batch import PackedBatch
from bertkit.core.devices import resolve_precision
from bertkit.core.machine import Precision
from bertkit.inference.backends.base import (
    MASKED_LM,
    TASK,
    HeadLogits,
    LayerStates,
    Output,
    PooledStates,
    Positions,
    TokenStates,
    Want,
    find_positions,
)
from bertkit.model.layers import BertLayer
from bertkit.pretrained.models import BertWithHeads
from bertkit.tasks.model import TaskModel


class TorchPacked:
    """A module in evaluation mode as it is: one that is in training is evaluated without a copy."""

    is_padded = False

    def __init__(self, module: BertWithHeads | TaskModel) -> None:
        self._module = module.eval()
        self._bert = module.bert

    @classmethod
    def frozen(
        cls, module: BertWithHeads | TaskModel, device: torch.device, precision: Precision = "float32"
    ) -> TorchPacked:
        """Take over a module for inference alone: on a device, and with bf16 weights where `precision` says so."""
        module.eval().requires_grad_(False).to(device)
        if resolve_precision(precision, device) == "bf16":
            module.to(torch.bfloat16)
            if can_prepack(device):
                _prepack(module)
        return cls(module)

    @property
    def device(self) -> torch.device:
        """The weights'."""
        return self._word_embeddings.device

    @property
    def precision(self) -> str:
        """The weights' dtype."""
        return str(self._word_embeddings.dtype)

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

    def run(self, batch: PackedBatch, want: Want) -> Output:
        """One pass; the last layer computes no other tokens than those that are read."""
        match want:
            case PooledStates():
                return (self._bert(batch, output_positions=batch.cu_seqlens.new_empty(0)).pooler_output,)
            case TokenStates(positions):
                return (self._token_states(batch, positions),)
            case LayerStates(layers):
                states = self._bert(batch, output_hidden_states=True).hidden_states
                return tuple(states[layer] for layer in layers)
            case HeadLogits(head, positions):
                return (self._logits(batch, head, positions),)

    def _token_states(self, batch: PackedBatch, positions: Positions) -> Tensor:
        return self._bert(batch, output_positions=find_positions(batch, positions)).last_hidden_state  # type: ignore[no-any-return]

    def _logits(self, batch: PackedBatch, head: str, positions: Positions) -> Tensor:
        assert head in self.heads, f"there is no head {head}"
        if isinstance(self._module, TaskModel):
            return self._module(batch)  # type: ignore[no-any-return]
        assert self._module.masked_lm is not None
        return self._module.masked_lm(  # type: ignore[no-any-return]
            self._token_states(batch, positions), self._word_embeddings
        )

    @property
    def _word_embeddings(self) -> Tensor:
        return self._bert.embeddings.word_embeddings.weight


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
