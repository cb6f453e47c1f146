"""Bidirectional attention over packed sequences."""
# T tokens, A heads, D head size; a tile is n sequences of L rows, N blocks of Q queries, each against K keys.

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention

from bertkit.model.attention_blocks import AttentionBlocks
from bertkit.model.dropout import keep_mask, kept_share
from bertkit.model.sequence_layout import SequenceLayout


def packed_attention(
    query_key_value: Tensor, layout: SequenceLayout, drop_rate: float, window: int | None = None
) -> Tensor:
    """Scaled dot-product attention inside each sequence (Vaswani et al. 2017, section 3.2).

    `query_key_value` is (T, 3, A, D), the result (T, A, D); `drop_rate` drops attention probabilities. With `window`
    a token attends to that many on each side (Beltagy et al. 2020, section 3.1). Rows behind the last token, which
    there may be on the processor, come out as 0.
    """
    assert window is None or layout.unattended is None
    if query_key_value.is_cuda and drop_rate == 0.0 and query_key_value.dtype != torch.float32:
        # The kernel leaves the context and the gradient of rows that belong to no sequence unwritten.
        assert len(query_key_value) == layout.num_tokens
        query, key, value = query_key_value.unbind(1)
        bounds, longest = layout.cu_seqlens, layout.max_seqlen
        key_bounds = bounds
        if layout.unattended is not None:
            places, key_bounds = layout.attended
            key, value = key[places], value[places]
        sides = (-1, -1) if window is None else (window, window)
        return _as_tensor(varlen_attn(query, key, value, bounds, key_bounds, longest, longest, window_size=sides))
    with torch.autocast(query_key_value.device.type, enabled=False):  # the softmax stays in the given precision
        if drop_rate == 0.0 and not (query_key_value.requires_grad and torch.is_grad_enabled()):
            return _forward_alone(query_key_value, layout, window)
        return _as_tensor(_TileAttention.apply(query_key_value, layout, drop_rate, window))  # type: ignore[no-untyped-call]


def _as_tensor(value: object) -> Tensor:
    assert isinstance(value, Tensor)
    return value


def _heads(blocks: AttentionBlocks, query_key_value: Tensor, *, contiguous: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Query (n, A, N, Q, D), key and value (n, A, N, K, D) of a tile.

    Products of matrices copy what is not `contiguous`, each anew; torch's attention kernel does not.
    """
    heads = blocks.tile.take(query_key_value).permute(2, 0, 3, 1, 4)  # (3, n, A, L, D)
    query, key, value = heads.contiguous() if contiguous else heads
    return blocks.queries(query), blocks.keys(key), blocks.keys(value)


def _probabilities(query: Tensor, key: Tensor, blocks: AttentionBlocks) -> Tensor:
    """Attention probabilities (n, A, N, Q, K); rows that nobody attends to get none."""
    scores = torch.matmul(query * (1.0 / math.sqrt(query.shape[-1])), key.transpose(-1, -2))
    hidden = blocks.hidden(scores.device)
    if hidden is not None:
        # Finite, as rows of padding may see nothing else.
        scores.masked_fill_(hidden, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, -1)


def _forward_alone(query_key_value: Tensor, layout: SequenceLayout, window: int | None) -> Tensor:
    """What `_TileAttention` computes, by torch's own kernel, which never holds the probabilities."""
    context = torch.zeros_like(query_key_value[:, 0])
    for tile in layout.tiles:
        blocks = AttentionBlocks.of(tile, window)
        query, key, value = (_folded(part) for part in _heads(blocks, query_key_value, contiguous=False))
        hidden = blocks.hidden(context.device)
        seen = None if hidden is None else _folded(~hidden.expand(tile.sequences, 1, blocks.count, -1, -1))
        result = scaled_dot_product_attention(query, key, value, attn_mask=seen)
        rows = result.view(tile.sequences, blocks.count, *result.shape[1:]).transpose(1, 2)  # (n, A, N, Q, D)
        tile.put(context, blocks.rows_of_queries(rows).transpose(1, 2))
    return context


def _folded(blocks: Tensor) -> Tensor:
    """(n, A, N, ...) to (n * N, A, ...): the kernel takes four dimensions."""
    return blocks.transpose(1, 2).flatten(0, 1)


class _TileAttention(torch.autograd.Function):
    """Forward and backward over tiles; keeps the probabilities and, with dropout, which of them were kept.

    The processor's own flash kernel has no dropout, and at BERT's lengths its backward pass is slower than this.
    """

    @staticmethod
    def forward(
        ctx: Any, query_key_value: Tensor, layout: SequenceLayout, drop_rate: float, window: int | None
    ) -> Tensor:
        context = torch.zeros_like(query_key_value[:, 0])
        saved = []
        for tile in layout.tiles:
            blocks = AttentionBlocks.of(tile, window)
            query, key, value = _heads(blocks, query_key_value, contiguous=True)
            probabilities = _probabilities(query, key, blocks)
            saved.append(probabilities)
            if drop_rate:
                mask = keep_mask(probabilities, drop_rate)
                saved.append(mask)
                result = torch.matmul(probabilities * mask, value).mul_(1.0 / kept_share(drop_rate))
            else:
                result = torch.matmul(probabilities, value)
            tile.put(context, blocks.rows_of_queries(result).transpose(1, 2))
        if query_key_value.requires_grad:
            ctx.save_for_backward(query_key_value, *saved)
        ctx.layout, ctx.drop_rate, ctx.window = layout, drop_rate, window
        return context

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_context: Tensor) -> tuple[Tensor, None, None, None]:
        query_key_value, *saved = ctx.saved_tensors
        grad_query_key_value = torch.zeros_like(query_key_value)
        tensors = iter(saved)
        for tile in ctx.layout.tiles:
            blocks = AttentionBlocks.of(tile, ctx.window)
            query, key, value = _heads(blocks, query_key_value, contiguous=True)
            probabilities = next(tensors)
            grad_rows = tile.take(grad_context).transpose(1, 2).clone(memory_format=torch.contiguous_format)
            if tile.padding is not None:
                grad_rows.masked_fill_(tile.padding[:, None, :, None], 0.0)
            grad_result = blocks.queries(grad_rows)  # (n, A, N, Q, D)
            if ctx.drop_rate:
                mask = next(tensors)
                grad_result *= 1.0 / kept_share(ctx.drop_rate)
                grad_value = torch.matmul((probabilities * mask).transpose(-1, -2), grad_result)
                grad_probabilities = torch.matmul(grad_result, value.transpose(-1, -2)).mul_(mask)
            else:
                grad_value = torch.matmul(probabilities.transpose(-1, -2), grad_result)
                grad_probabilities = torch.matmul(grad_result, value.transpose(-1, -2))
            # Jacobian of softmax: P * (dP - sum(dP * P)), with the scale of the scores folded in.
            grad_scores = torch._softmax_backward_data(grad_probabilities, probabilities, -1, probabilities.dtype)
            grad_scores *= 1.0 / math.sqrt(query.shape[-1])
            grad_query = blocks.rows_of_queries(torch.matmul(grad_scores, key))
            grad_key = blocks.rows_of_keys(torch.matmul(grad_scores.transpose(-1, -2), query))
            for place, grad_heads in enumerate((grad_query, grad_key, blocks.rows_of_keys(grad_value))):
                tile.put(grad_query_key_value[:, place], grad_heads.transpose(1, 2))
        return grad_query_key_value, None, None, None
