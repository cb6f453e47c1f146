"""One vector for each sequence of a packed batch, or one for each token."""
# T tokens, B sequences, H hidden.

from __future__ import annotations

import torch
from torch import Tensor

from bertkit.foundation.packed_batch import PackedBatch


def mean_of_tokens(hidden: Tensor, batch: PackedBatch) -> Tensor:
    """Mean over each sequence's tokens: (T, H) to float32 (B, H)."""
    lengths = batch.cu_seqlens.diff().long()
    return torch.segment_reduce(hidden.float(), "mean", lengths=lengths, unsafe=True)


def first_tokens(hidden: Tensor, batch: PackedBatch) -> Tensor:
    """Hidden states of [CLS]: (T, H) to float32 (B, H)."""
    return hidden[batch.cu_seqlens[:-1]].float()


def all_tokens(hidden: Tensor, batch: PackedBatch) -> Tensor:
    """Every token's own: (T, H) to float32 (T, H)."""
    return hidden.float()
