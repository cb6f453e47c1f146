"""Bidirectional attention over packed sequences: the only place that knows where a sequence ends."""
# T tokens, B sequences, A heads, D head size, n sequences of one group, L tokens of each.

from __future__ import annotations

import math
from itertools import groupby

import torch
from torch import Tensor

from bertkit.model.dropout import keep_mask


def _groups(cu_seqlens: Tensor) -> list[tuple[int, int, int]]:
    """Runs of neighbouring sequences of equal length as (first token, sequences, length).

    Within a run no padding is needed; batches sorted by length have few and long runs.
    """
    bounds = cu_seqlens.tolist()
    lengths = [end - start for start, end in zip(bounds, bounds[1:], strict=False)]
    runs, first = [], 0
    for length, members in groupby(lengths):
        count = len(list(members))
        if length:
            runs.append((first, count, length))
        first += count * length
    return runs


def _split_group(qkv: Tensor, first: int, count: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of one run, each (n, A, L, D)."""
    group = qkv[first : first + count * length].view(count, length, *qkv.shape[1:])
    query, key, value = group.permute(2, 0, 3, 1, 4).unbind(0)
    return query, key, value


@torch.library.custom_op("bertkit::cpu_attention", mutates_args=())
def cpu_attention(qkv: Tensor, cu_seqlens: Tensor, drop_rate: float) -> tuple[Tensor, Tensor, Tensor]:
    """Context (T, A, D) and what backward needs: log-sum-exp or probabilities, and the dropout mask.

    Without dropout each run goes through the processor's flash kernel; that kernel has no dropout, so with
    dropout the probabilities are formed and kept.
    """
    tokens, _, heads, size = qkv.shape
    context = qkv.new_empty(tokens, heads, size)
    saved: list[Tensor] = []
    masks: list[Tensor] = []
    for first, count, length in _groups(cu_seqlens):
        query, key, value = _split_group(qkv, first, count, length)
        out = context[first : first + count * length].view(count, length, heads, size).transpose(1, 2)
        if drop_rate == 0.0:
            result, logsumexp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)
            out.copy_(result)
            saved.append(logsumexp.flatten())
            continue
        scores = torch.matmul(query * (1 / math.sqrt(size)), key.transpose(-1, -2))
        probabilities = torch.softmax(scores, -1)
        mask = keep_mask(probabilities, drop_rate)
        out.copy_(torch.matmul(probabilities * mask, value) * (1 / (1 - drop_rate)))
        saved.append(probabilities.flatten())
        masks.append(mask.flatten())
    empty = qkv.new_empty(0)
    return context, torch.cat(saved) if saved else empty, torch.cat(masks) if masks else empty.bool()


@cpu_attention.register_fake
def _(qkv: Tensor, cu_seqlens: Tensor, drop_rate: float) -> tuple[Tensor, Tensor, Tensor]:
    tokens, _, heads, size = qkv.shape
    saved = torch.library.get_ctx().new_dynamic_size()
    masks = torch.library.get_ctx().new_dynamic_size()
    return (
        qkv.new_empty(tokens, heads, size),
        qkv.new_empty(saved, dtype=qkv.dtype if drop_rate else torch.float32),
        qkv.new_empty(masks, dtype=torch.bool),
    )


@torch.library.custom_op("bertkit::cpu_attention_backward", mutates_args=())
def _cpu_attention_backward(
    grad: Tensor, qkv: Tensor, context: Tensor, saved: Tensor, masks: Tensor, cu_seqlens: Tensor, drop_rate: float
) -> Tensor:
    _, _, heads, size = qkv.shape
    grad_qkv = torch.empty_like(qkv)
    offset = 0
    for first, count, length in _groups(cu_seqlens):
        query, key, value = _split_group(qkv, first, count, length)
        grad_query, grad_key, grad_value = _split_group(grad_qkv, first, count, length)
        rows = slice(first, first + count * length)
        grad_out = grad[rows].view(count, length, heads, size).transpose(1, 2)
        if drop_rate == 0.0:
            out = context[rows].view(count, length, heads, size).transpose(1, 2)
            logsumexp = saved[offset : offset + count * heads * length].view(count, length, heads).transpose(1, 2)
            logsumexp = saved[offset : offset + count * heads * length].view(count, heads, length)
            offset += count * heads * length
            results = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                grad_out, query, key, value, out, logsumexp, 0.0, False
            )
            grad_query.copy_(results[0])
            grad_key.copy_(results[1])
            grad_value.copy_(results[2])
            continue
        end = offset + count * heads * length * length
        probabilities = saved[offset:end].view(count, heads, length, length)
        mask = masks[offset:end].view(count, heads, length, length)
        offset = end
        grad_out = grad_out * (1 / (1 - drop_rate))
        grad_value.copy_(torch.matmul((probabilities * mask).transpose(-1, -2), grad_out))
        grad_probabilities = torch.matmul(grad_out, value.transpose(-1, -2)).mul_(mask)
        grad_scores = torch._softmax_backward_data(grad_probabilities, probabilities, -1, probabilities.dtype)
        grad_scores *= 1 / math.sqrt(size)
        grad_query.copy_(torch.matmul(grad_scores, key))
        grad_key.copy_(torch.matmul(grad_scores.transpose(-1, -2), query))
    return grad_qkv


@_cpu_attention_backward.register_fake
def _(
    grad: Tensor, qkv: Tensor, context: Tensor, saved: Tensor, masks: Tensor, cu_seqlens: Tensor, drop_rate: float
) -> Tensor:
    return torch.empty_like(qkv)


def _setup(ctx, inputs, output) -> None:
    qkv, cu_seqlens, drop_rate = inputs
    ctx.save_for_backward(qkv, cu_seqlens, *output)
    ctx.drop_rate = drop_rate


def _backward(ctx, grad, *_):
    qkv, cu_seqlens, context, saved, masks = ctx.saved_tensors
    return _cpu_attention_backward(grad.contiguous(), qkv, context, saved, masks, cu_seqlens, ctx.drop_rate), None, None


cpu_attention.register_autograd(_backward, setup_context=_setup)
