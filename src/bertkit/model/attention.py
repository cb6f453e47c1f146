"""Bidirectional attention over packed sequences: the only place that knows where a sequence ends."""
# T tokens, B sequences, A heads, D head size; a run is n neighbouring sequences of equal length L.

from __future__ import annotations

import math
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.attention.varlen import varlen_attn

from bertkit.model.dropout import keep_mask, kept_share

_FLASH_FROM_LENGTH = 256
"""From this length on the processor's flash kernel beats forming the scores, where no gradient is needed."""


class _Run(NamedTuple):
    first_token: int
    sequences: int
    length: int

    def rows(self, packed: Tensor) -> Tensor:
        """This run's part (n, L, ...) of a packed tensor (T, ...), without a copy."""
        tokens = packed[self.first_token : self.first_token + self.sequences * self.length]
        return tokens.view(self.sequences, self.length, *packed.shape[1:])

    def heads(self, packed: Tensor) -> Tensor:
        """The same of (T, A, D) as (n, A, L, D)."""
        return self.rows(packed).transpose(1, 2)


def _runs(cu_seqlens: Tensor) -> list[_Run]:
    """Cut a batch into runs, inside which no padding is needed; a batch sorted by length has few and long ones."""
    runs, first_token = [], 0
    for length, members in groupby(end - start for start, end in pairwise(cu_seqlens.tolist())):
        sequences = sum(1 for _ in members)
        if length:
            runs.append(_Run(first_token, sequences, length))
        first_token += sequences * length
    return runs


def packed_attention(query_key_value: Tensor, cu_seqlens: Tensor, max_seqlen: int, drop_rate: float) -> Tensor:
    """Scaled dot-product attention inside each sequence (Vaswani et al. 2017, section 3.2).

    `query_key_value` is (T, 3, A, D), the result (T, A, D); `drop_rate` drops attention probabilities.
    """
    if query_key_value.is_cuda and drop_rate == 0.0 and query_key_value.dtype != torch.float32:
        query, key, value = query_key_value.unbind(1)
        return _as_tensor(varlen_attn(query, key, value, cu_seqlens, cu_seqlens, max_seqlen, max_seqlen))
    with torch.autocast(query_key_value.device.type, enabled=False):  # the softmax stays in the given precision
        if torch.is_grad_enabled() and query_key_value.requires_grad:
            return _as_tensor(_RunAttention.apply(query_key_value, cu_seqlens, drop_rate))  # type: ignore[no-untyped-call]
        return _attention_without_gradient(query_key_value, cu_seqlens, drop_rate)


def _as_tensor(value: object) -> Tensor:
    assert isinstance(value, Tensor)
    return value


def _attention_without_gradient(query_key_value: Tensor, cu_seqlens: Tensor, drop_rate: float) -> Tensor:
    context = torch.empty_like(query_key_value[:, 0])
    for run in _runs(cu_seqlens):
        query, key, value = (run.heads(part) for part in query_key_value.unbind(1))
        if run.length >= _FLASH_FROM_LENGTH and drop_rate == 0.0:
            result = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        else:
            probabilities = _probabilities(query, key)
            if drop_rate:
                probabilities *= keep_mask(probabilities.shape, drop_rate, probabilities.device)
                probabilities /= kept_share(drop_rate)
            result = torch.matmul(probabilities, value)
        run.heads(context).copy_(result)
    return context


def _probabilities(query: Tensor, key: Tensor) -> Tensor:
    """Attention probabilities (n, A, L, L)."""
    scores = torch.matmul(query * (1.0 / math.sqrt(query.shape[-1])), key.transpose(-1, -2))
    return torch.softmax(scores, -1)


class _RunAttention(torch.autograd.Function):
    """Forward and backward over runs; keeps the probabilities and, with dropout, which of them were kept.

    The processor's own flash kernel has no dropout, and at BERT's lengths its backward pass is slower than this.
    """

    @staticmethod
    def forward(ctx: Any, query_key_value: Tensor, cu_seqlens: Tensor, drop_rate: float) -> Tensor:
        context = torch.empty_like(query_key_value[:, 0])
        runs = _runs(cu_seqlens)
        saved = []
        for run in runs:
            query, key, value = (run.heads(part) for part in query_key_value.unbind(1))
            probabilities = _probabilities(query, key)
            saved.append(probabilities)
            if drop_rate:
                mask = keep_mask(probabilities.shape, drop_rate, probabilities.device)
                saved.append(mask)
                result = torch.matmul(probabilities * mask, value).mul_(1.0 / kept_share(drop_rate))
            else:
                result = torch.matmul(probabilities, value)
            run.heads(context).copy_(result)
        ctx.save_for_backward(query_key_value, *saved)
        ctx.runs, ctx.drop_rate = runs, drop_rate
        return context

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_context: Tensor) -> tuple[Tensor, None, None]:
        query_key_value, *saved = ctx.saved_tensors
        grad_query_key_value = torch.empty_like(query_key_value)
        tensors = iter(saved)
        for run in ctx.runs:
            query, key, value = (run.heads(part) for part in query_key_value.unbind(1))
            grad_query, grad_key, grad_value = (run.heads(part) for part in grad_query_key_value.unbind(1))
            grad_result = run.heads(grad_context)
            probabilities = next(tensors)
            if ctx.drop_rate:
                mask = next(tensors)
                grad_result = grad_result * (1.0 / kept_share(ctx.drop_rate))
                grad_value.copy_(torch.matmul((probabilities * mask).transpose(-1, -2), grad_result))
                grad_probabilities = torch.matmul(grad_result, value.transpose(-1, -2)).mul_(mask)
            else:
                grad_value.copy_(torch.matmul(probabilities.transpose(-1, -2), grad_result))
                grad_probabilities = torch.matmul(grad_result, value.transpose(-1, -2))
            # Jacobian of softmax: P * (dP - sum(dP * P)), with the scale of the scores folded in.
            grad_scores = torch._softmax_backward_data(grad_probabilities, probabilities, -1, probabilities.dtype)
            grad_scores *= 1.0 / math.sqrt(query.shape[-1])
            grad_query.copy_(torch.matmul(grad_scores, key))
            grad_key.copy_(torch.matmul(grad_scores.transpose(-1, -2), query))
        return grad_query_key_value, None, None
