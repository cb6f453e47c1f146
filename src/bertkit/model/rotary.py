"""Positions as rotations of queries and keys (Su et al. 2021, section 3.2)."""
# T tokens, A heads, D head size.

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bertkit.model.row_padding import pad_rows


@dataclass(frozen=True, eq=False)
class Rotation:
    """Cosines and sines of every token's angles, each (T, 1, 1, D / 2) in float32."""

    cosines: Tensor
    sines: Tensor

    @classmethod
    def of(cls, position_ids: Tensor, head_size: int, theta: float) -> Rotation:
        """Angles of positions (T,), padded as rows are; dimension i turns with one over theta**(2i / D) a token."""
        exponents = torch.arange(0, head_size, 2, dtype=torch.float32, device=position_ids.device) / head_size
        angles = pad_rows(position_ids.float()[:, None] * (1.0 / theta**exponents))[:, None, None]
        return cls(angles.cos(), angles.sin())

    def turn(self, query_key_value: Tensor) -> Tensor:
        """Turn queries and keys of (T, 3, A, D); dimension i goes with i + D / 2. In float32 for half precision."""
        first, second = query_key_value[:, :2].chunk(2, -1)  # (T, 2, A, D / 2)
        turned = torch.cat((first * self.cosines - second * self.sines, second * self.cosines + first * self.sines), -1)
        return torch.cat((turned.to(query_key_value.dtype), query_key_value[:, 2:]), 1)
