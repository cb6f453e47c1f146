"""Linear layers whose bf16 weights lie in memory as the processor's matrix kernels read them."""
# N rows, I inputs, O outputs.

from __future__ import annotations

import torch
from torch import Tensor, nn

from bertkit.model.layers import BertLayer

_ROWS = 2048
"""The number of rows that the layout is made for; any other works."""


class PackedLinear(nn.Module):
    """A frozen linear layer in bf16 on the CPU, with GELU in the same pass where `gelu` names its form."""

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


def can_prepack(device: torch.device) -> bool:
    """Whether this processor and this build of torch have the kernels."""
    return (
        device.type == "cpu"
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def prepack(module: nn.Module) -> None:
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
