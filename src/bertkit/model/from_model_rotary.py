"""Positions as rotations of queries and keys (Su et al. 2021, section 3.2)."""
# T tokens, A heads, D head size.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bertkit.model.row_padding import pad_rows


@dataclass(frozen=True, eq=False)
class Rotation:
    """Cosines and sines of every token's angles, each (T, 1, 1, D / 2) in float32."""

    cosines: Tensor
    sines: Tensor

    @classmethod
    def of(cls, position_ids: Tensor, head_size: int, theta: float) -> Rotation:
        """Angles of positions (T,), padded as rows are; dimension i turns by theta**(-2i / D) a token."""
        exponents = torch.arange(0, head_size, 2, dtype=torch.float32, device=position_ids.device) / head_size
        angles = pad_rows(position_ids.float()[:, None] * (1.0 / theta**exponents))[:, None, None]
        return cls(angles.cos(), angles.sin())

    def turn(self, query_key_value: Tensor) -> Tensor:
        """Turn queries and keys of (T, 3, A, D): dimension i goes with i + D / 2."""
        turned = _Turn.apply(query_key_value, self.cosines, self.sines)  # type: ignore[no-untyped-call]
        assert isinstance(turned, Tensor)
        return turned


class _Turn(torch.autograd.Function):
    """Forward and backward without the copies that cutting and joining would make."""

    @staticmethod
    def forward(ctx: Any, query_key_value: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        ctx.save_for_backward(cosines, sines)
        return _turned(query_key_value, cosines, sines)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_turned: Tensor) -> tuple[Tensor, None, None]:
        cosines, sines = ctx.saved_tensors
        return _turned(grad_turned, cosines, -sines), None, None


def _turned(query_key_value: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    result = torch.empty_like(query_key_value)
    given, made = query_key_value[:, :2], result[:, :2]
    exact = made if made.dtype in (torch.float32, torch.float64) else torch.empty_like(made, dtype=torch.float32)
    (first, second), (new_first, new_second) = given.chunk(2, -1), exact.chunk(2, -1)  # (T, 2, A, D / 2) each
    torch.mul(first, cosines, out=new_first).addcmul_(second, sines, value=-1)
    torch.mul(second, cosines, out=new_second).addcmul_(first, sines)
    if exact is not made:
        made.copy_(exact)
    result[:, 2].copy_(query_key_value[:, 2])
    return result
