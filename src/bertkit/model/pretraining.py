"""The model of pre-training, and the cross-entropy of its masked LM, which never holds all logits."""
# B sequences, M masked positions, R rows (M and padding), C rows of a chunk, K of a block, H hidden, V vocabulary.

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bertkit.core.batch import PackedBatch
from bertkit.core.errors import InputError
from bertkit.model.architectures import masked_lm_head
from bertkit.model.config import BertConfig
from bertkit.model.encoder import Encoder
from bertkit.model.heads import NextSentenceHead

_CHUNK_BYTES = 1 << 26
"""Logits that are held at a time: few chunks are quick, for each adds to the gradient of the whole weight."""
_CHUNK_STEP = 64
_BLOCK_LOGITS = 1 << 19
"""Logits that a CPU takes from the product to their slopes at a time: 2 MiB in float32, which its cache holds."""


def masked_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of logits `hidden @ weight.T + bias`, summed over `labels` (M,), and how many of them are right.

    `hidden` (R, H) begins with the rows of the labels, `weight` is (V, H), `bias` (V,). Logits are made in chunks and
    gone through once: their loss and its gradients come out of one pass, so that none is kept for the backward one.
    """
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
            grad_hidden, grad_bias = torch.zeros_like(rows), torch.zeros_like(bias)
            grad_weight: Tensor | None = None
            size = _chunk_rows(len(labels), len(weight) * rows.element_size())
            for start in range(0, len(labels), size):
                chunk, answers = rows[start : start + size], labels[start : start + size]
                logits = torch.addmm(offsets, chunk, matrix.t())  # (C, V)
                for block in _blocks(answers, logits):
                    losses, right = _losses(logits[block], answers[block], grad_bias if with_gradients else None)
                    total += losses
                    correct += right
                if with_gradients:
                    slopes = logits
                    slopes[len(answers) :] = 0  # rows of padding
                    grad_hidden[start : start + size] = slopes @ matrix
                    product = (slopes.t() @ chunk).to(weight.dtype)
                    grad_weight = product if grad_weight is None else grad_weight.add_(product)
        if with_gradients:
            grad_weight = torch.zeros_like(weight) if grad_weight is None else grad_weight
            ctx.gradients = grad_hidden.to(hidden.dtype), grad_weight, grad_bias
        ctx.mark_non_differentiable(correct)
        return total, correct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        assert gradients is not None, "goes backward once: the gradients are scaled in place"
        return *(gradient.mul_(grad_total) for gradient in gradients), None, None


def _chunk_rows(rows: int, row_bytes: int) -> int:
    """Rows of a chunk: as few chunks as there may be, as equal as they may be."""
    most = max(1, _CHUNK_BYTES // row_bytes // _CHUNK_STEP) * _CHUNK_STEP
    chunks = max(1, -(-rows // most))
    return max(1, -(-rows // chunks // _CHUNK_STEP)) * _CHUNK_STEP


def _blocks(answers: Tensor, logits: Tensor) -> Iterator[slice]:
    """Rows that are gone through together: on a GPU all that have an answer."""
    rows = len(answers) if logits.is_cuda else max(1, _BLOCK_LOGITS // logits.shape[-1])
    return (slice(first, min(first + rows, len(answers))) for first in range(0, len(answers), rows))


def _losses(logits: Tensor, answers: Tensor, grad_bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """The sum of the losses of logits (K, V) and the number of right answers (K,).

    With `grad_bias` (V,) the slopes of the losses are added to it and take the place of the logits.
    """
    places = answers[:, None]
    own, highest = logits.gather(1, places), logits.amax(-1, keepdim=True)
    chances = logits.float().softmax(-1)
    # The highest chance is one over the sum of exp(logit - highest), and far from where floats end.
    losses = (highest.float() - chances.amax(-1, keepdim=True).log() - own.float()).sum()
    right = _right(logits, answers, (own == highest)[:, 0])
    if grad_bias is not None:
        slopes = chances.scatter_add_(1, places, chances.new_full(places.shape, -1.0))
        grad_bias += slopes.sum(0)
        logits.copy_(slopes)
    return losses, right


def _right(logits: Tensor, answers: Tensor, reached: Tensor) -> Tensor:
    """How many rows (K, V) have their answer (K,) as the first of the highest, all of them among the `reached` (K,)."""
    if not logits.is_cuda:
        # A CPU finds a maximum several times as fast as its place, which few rows need then.
        logits, answers = logits[reached], answers[reached]
    return (logits.argmax(-1) == answers).sum()


class PretrainingOutput(NamedTuple):
    """What a batch comes to before any loss."""

    masked_states: Tensor
    """(M, H), the last layer's."""
    pooled: Tensor | None
    """(B, H), None of an encoder without pooler."""
    next_sentence_logits: Tensor | None
    """(B, 2), None without that head."""


class PretrainingModel(nn.Module):
    """Masked-LM head and, unless left out, next-sentence head over one encoder (Devlin et al. 2019, section 3.1)."""

    def __init__(self, config: BertConfig, *, next_sentence: bool = True) -> None:
        super().__init__()
        if next_sentence and not config.has_pooler:
            raise InputError(
                f"next-sentence prediction needs a pooler, which {config.model_type} has not: use --no-nsp"
            )
        self.bert = Encoder(config, add_pooling_layer=config.has_pooler)
        self.masked_lm = masked_lm_head(config)
        self.next_sentence = NextSentenceHead(config.hidden_size) if next_sentence else None

    def forward(self, batch: PackedBatch, masked_positions: Tensor) -> PretrainingOutput:
        """Encode a batch of which the packed tokens at `masked_positions` (M,) are to be predicted."""
        output = self.bert(batch, output_positions=masked_positions)
        logits = None if self.next_sentence is None else self.next_sentence(output.pooler_output)
        return PretrainingOutput(output.last_hidden_state, output.pooled, logits)

    def masked_logits(self, masked_states: Tensor) -> Tensor:
        """All logits (M, V) of the masked positions' states (M, H)."""
        return self.masked_lm(masked_states, self.bert.embeddings.word_embeddings.weight)  # type: ignore[no-any-return]

    def masked_loss(self, masked_states: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy summed over the masked positions, and how many are right, without all logits at once.

        `masked_states` are (M, H), `labels` (M,) the ids that are to be predicted there.
        """
        matrix = self.bert.embeddings.word_embeddings.weight
        return masked_cross_entropy(self.masked_lm.decoder_input(masked_states), matrix, self.masked_lm.bias, labels)
