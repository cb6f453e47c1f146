"""Attention inside the sequences of a packed batch, tile by tile, with or without a window."""
# T tokens, B sequences, S longest sequence, A heads, D head size;
# a tile is n sequences of L rows, N blocks of Q queries, each against K keys.

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.functional import scaled_dot_product_attention

from bertkit.model.dropout import keep_mask, kept_share
from bertkit.model.layout import SequenceLayout, Tile

_LONGEST_WHOLE = 4
"""Sequences of up to so many windows are one block: the keys of short blocks are copied more than they save."""


@dataclass(frozen=True)
class AttentionBlocks:
    """A tile's queries in blocks of `size`, each with the keys of the block and of `reach` rows on both sides.

    One block of all rows without reach is the whole tile. `window` limits how far a query sees to each side.
    """

    tile: Tile
    window: int | None
    size: int
    reach: int

    @classmethod
    def of(cls, tile: Tile, window: int | None) -> AttentionBlocks:
        """The whole tile, or blocks of one window where sequences are much longer."""
        if window is None or tile.length <= _LONGEST_WHOLE * window:
            return cls(tile, window, tile.length, 0)
        return cls(tile, window, window, window)

    @property
    def count(self) -> int:
        """N."""
        return -(-self.tile.length // self.size)

    def queries(self, rows: Tensor) -> Tensor:
        """(n, A, L, D) to (n, A, N, Q, D), with zero rows behind the last."""
        padded = F.pad(rows, (0, 0, 0, self._surplus)) if self._surplus else rows
        return padded.view(*rows.shape[:2], self.count, self.size, rows.shape[-1])

    def keys(self, rows: Tensor) -> Tensor:
        """(n, A, L, D) to (n, A, N, K, D), with zero rows before the first and behind the last."""
        if not self.reach:
            return rows.unsqueeze(2)
        padded = F.pad(rows, (0, 0, self.reach, self.reach + self._surplus))
        return padded.unfold(2, self.size + 2 * self.reach, self.size).transpose(-1, -2)

    def rows_of_queries(self, blocks: Tensor) -> Tensor:
        """(n, A, N, Q, D) back to (n, A, L, D)."""
        return blocks.flatten(2, 3)[:, :, : self.tile.length]

    def rows_of_keys(self, blocks: Tensor) -> Tensor:
        """(n, A, N, K, D) back to (n, A, L, D): the sum of what several blocks say of a row."""
        if not self.reach:
            return blocks.squeeze(2)
        count, size = self.count, self.size
        padded = blocks.new_zeros(*blocks.shape[:2], (count + 2) * size, blocks.shape[-1])
        for part in range(3):  # a block is as long as its reach
            here = padded[:, :, part * size : (part + count) * size]
            here += blocks[:, :, :, part * size : (part + 1) * size].flatten(2, 3)
        return padded[:, :, size : size + self.tile.length]

    def hidden(self, device: torch.device) -> Tensor | None:
        """True where a query does not see a key, broadcast to (n, 1, N, Q, K); None where all see all."""
        tile = self.tile
        hidden = None
        if tile.unattended is not None or self.reach:
            all_seen = torch.zeros(1, tile.length, dtype=torch.bool, device=device)
            unattended = all_seen if tile.unattended is None else tile.unattended
            # Rows that are none are hidden from all.
            surrounded = F.pad(unattended, (self.reach, self.reach + self._surplus), value=True)
            hidden = surrounded.unfold(1, self.size + 2 * self.reach, self.size)[:, None, :, None]
        if self.window is not None and tile.length > self.window + 1:
            queries = torch.arange(self.size, device=device)[:, None] + self.reach
            keys = torch.arange(self.size + 2 * self.reach, device=device)
            outside = ((queries - keys).abs() > self.window)[None, None, None]
            hidden = outside if hidden is None else hidden | outside
        return hidden

    @property
    def _surplus(self) -> int:
        return self.count * self.size - self.tile.length


def packed_attention(
    query_key_value: Tensor, layout: SequenceLayout, drop_rate: float, window: int | None = None
) -> Tensor:
    """Scaled dot-product attention inside each sequence (Vaswani et al. 2017, section 3.2).

    `query_key_value` is (T, 3, A, D), the result (T, A, D); `drop_rate` drops attention probabilities. With `window`
    a token attends to that many on each side (Beltagy et al. 2020, section 3.1). Rows behind the last token, which
    there may be on a CPU, come out as 0.
    """
    assert window is None or layout.unattended is None
    if query_key_value.is_cuda and drop_rate == 0.0 and query_key_value.dtype != torch.float32:
        # Imported where it is needed: it brings torch._dynamo, which takes longer than all else that a CPU needs.
        from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415

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

    Every matrix product copies again what is not `contiguous`; torch's attention kernel does not.
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

    A CPU's flash kernel has no dropout, and at BERT's lengths its backward pass is slower than this.
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
