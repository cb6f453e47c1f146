"""Attention probabilities as a result, for those who look at them or learn from them."""
# T tokens, B sequences, S longest sequence, A heads, D head size.

from __future__ import annotations

import math

import torch
from torch import Tensor

from bertkit.model.sequence_layout import SequenceLayout


def attention_probabilities(query_key_value: Tensor, layout: SequenceLayout, window: int | None = None) -> Tensor:
    """How much each token of a packed (T, 3, A, D) attends to the others of its sequence, without dropout.

    (B, A, S, S), 0 where there is no token. `packed_attention` never holds this tensor: it is computed on its own.
    """
    starts = layout.cu_seqlens[:-1].long()
    columns = torch.arange(layout.max_seqlen, device=starts.device)
    is_token = columns < layout.cu_seqlens.diff()[:, None]  # (B, S)
    places = torch.where(is_token, starts[:, None] + columns, 0)
    query, key, _ = query_key_value[places].permute(2, 0, 3, 1, 4)  # (B, A, S, D) each
    scores = torch.matmul(query * (1.0 / math.sqrt(query.shape[-1])), key.transpose(-1, -2))
    is_attended = is_token if layout.unattended is None else is_token & ~layout.unattended[places]
    scores = scores.masked_fill(~is_attended[:, None, None, :], -math.inf)
    if window is not None:
        scores = scores.masked_fill((columns - columns[:, None]).abs() > window, -math.inf)
    return torch.softmax(scores, -1).masked_fill(~is_token[:, None, :, None], 0.0)
