"""Cross-entropy over the vocabulary without all logits at once."""
# M masked positions, R rows (M and padding), C rows of a chunk, H hidden, V vocabulary.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_LARGEST_WHOLE = 1 << 24
"""Logits up to which one product of matrices is as good: 64 MiB in float32."""
_CHUNK_LOGITS = 1 << 23
_CHUNK_STEP = 64
_NO_LABEL = -100


def masked_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of logits `hidden @ weight.T + bias`, summed over `labels` (M,), and how many of them are right.

    `hidden` (R, H) begins with the rows of the labels, `weight` is (V, H), `bias` (V,). Many logits are made in chunks
    and gone through once: their loss and its gradients come out of one pass, so that none is kept for the backward one.
    """
    if len(labels) * len(weight) <= _LARGEST_WHOLE:
        logits = F.linear(hidden, weight, bias)[: len(labels)]
        return F.cross_entropy(logits.float(), labels, reduction="sum"), (logits.detach().argmax(-1) == labels).sum()
    labels = F.pad(labels, (0, len(hidden) - len(labels)), value=_NO_LABEL)
    total, correct = _Chunked.apply(hidden, weight, bias, labels, torch.is_grad_enabled())  # type: ignore[no-untyped-call]
    return total, correct


class _Chunked(torch.autograd.Function):
    """The loss is a sum, so its gradients are known before its own is, up to that one factor."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, with_gradients: bool
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        total, correct = bias.new_zeros(()), labels.new_zeros(())
        with torch.autocast(device, enabled=False):
            rows, matrix, offsets = hidden.to(dtype), weight.to(dtype), bias.to(dtype)
            gradients = (torch.empty_like(rows), torch.zeros_like(weight), torch.zeros_like(bias))
            for start in range(0, len(rows), size := _chunk_rows(len(weight))):
                chunk, answers = rows[start : start + size], labels[start : start + size]
                counted = answers != _NO_LABEL
                places = answers.clamp(min=0)[:, None]
                logits = torch.addmm(offsets, chunk, matrix.t()).float()  # (C, V)
                correct += (logits.argmax(-1) == answers).sum()
                normalizer = logits.logsumexp(-1, keepdim=True)
                total += ((normalizer - logits.gather(1, places))[:, 0] * counted).sum()
                if with_gradients:
                    slopes = logits.sub_(normalizer).exp_()  # the probabilities, less 1 at the label
                    slopes.scatter_add_(1, places, slopes.new_full(places.shape, -1.0))
                    slopes *= counted[:, None]
                    _add_gradients(gradients, start, chunk, matrix, slopes)
        if with_gradients:
            ctx.save_for_backward(*gradients)
            ctx.hidden_dtype = hidden.dtype
        ctx.mark_non_differentiable(correct)
        return total, correct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        grad_hidden = grad_hidden.to(ctx.hidden_dtype) * grad_total
        return grad_hidden, grad_weight * grad_total, grad_bias * grad_total, None, None


def _chunk_rows(vocabulary: int) -> int:
    return max(1, _CHUNK_LOGITS // vocabulary // _CHUNK_STEP) * _CHUNK_STEP


def _add_gradients(
    gradients: tuple[Tensor, Tensor, Tensor], start: int, chunk: Tensor, matrix: Tensor, slopes: Tensor
) -> None:
    """From the slopes (C, V) of the logits of one chunk (C, H), multiplied as the logits were."""
    grad_hidden, grad_weight, grad_bias = gradients
    grad_bias += slopes.sum(0)
    slopes = slopes.to(matrix.dtype)
    grad_hidden[start : start + len(chunk)] = slopes @ matrix
    if slopes.dtype == grad_weight.dtype:
        grad_weight.addmm_(slopes.t(), chunk)
    else:
        grad_weight += slopes.t() @ chunk
