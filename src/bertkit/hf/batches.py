"""Padded tensors, as Transformers' models take them, packed for the encoder and padded again."""
# B sequences, S columns, T rows that are computed, M most rows of a sequence, H hidden, A heads.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bertkit.core.batch import PackedBatch
from bertkit.core.errors import InputError
from bertkit.model.layout import SequenceLayout


@dataclass(frozen=True)
class PaddedInputs:
    """`input_ids` (B, S) or `inputs_embeds` (B, S, H); the others are (B, S) or (1, S), or None for the defaults.

    `attention_mask` is 0 at padding and by default 1, `position_ids` are by default the columns.
    """

    input_ids: Tensor | None = None
    attention_mask: Tensor | None = None
    token_type_ids: Tensor | None = None
    position_ids: Tensor | None = None
    inputs_embeds: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.input_ids is None) == (self.inputs_embeds is None):
            raise InputError("give exactly one of input_ids and inputs_embeds")
        name, dimensions = ("input_ids", 2) if self.inputs_embeds is None else ("inputs_embeds", 3)
        if self.words.ndim != dimensions or self.words.numel() == 0:
            shape = "(B, S)" if dimensions == 2 else "(B, S, H)"
            raise InputError(f"{name} has shape {tuple(self.words.shape)}: give {shape} with at least one token")
        rows, columns = self.shape
        for name in ("attention_mask", "token_type_ids", "position_ids"):
            given = getattr(self, name)
            if given is not None and tuple(given.shape) not in ((rows, columns), (1, columns)):
                raise InputError(f"{name} has shape {tuple(given.shape)}: it must be {(rows, columns)}")

    @property
    def words(self) -> Tensor:
        """The ids or the vectors, whichever was given."""
        words = self.input_ids if self.inputs_embeds is None else self.inputs_embeds
        assert words is not None
        return words

    @property
    def shape(self) -> tuple[int, int]:
        """(B, S)."""
        return self.words.shape[0], self.words.shape[1]


@dataclass(frozen=True)
class PackedInputs:
    """The rows of a padded batch that are computed, one sequence after another.

    Transformers computes padding too: padding attends to the tokens, but no token attends to it. Here padding is only
    computed where something reads it.
    """

    batch: PackedBatch
    layout: SequenceLayout
    word_vectors: Tensor | None
    """(T, H) if the caller gave vectors instead of ids."""
    shape: tuple[int, int]
    """(B, S)."""
    index: Tensor | None
    """(T,) indices of the rows among all B * S; None if all are computed."""

    @classmethod
    def pack(cls, padded: PaddedInputs, output_positions: Tensor | None, *, reads_first: bool) -> PackedInputs:
        """Keep the tokens, those `output_positions` (B, S) that are true and, if `reads_first`, the first column."""
        rows, columns = padded.shape
        device = padded.words.device
        attended = padded.attention_mask
        attended = torch.ones(rows, columns, dtype=torch.bool, device=device) if attended is None else attended.bool()
        attended = attended.expand(rows, columns)
        kept = attended if output_positions is None else attended | output_positions
        if reads_first:
            kept = kept | F.pad(torch.ones_like(kept[:, :1]), (0, columns - 1))
        attended_lengths, lengths = torch.stack((attended.sum(1), kept.sum(1))).tolist()  # the only wait for a GPU
        if 0 in attended_lengths:
            raise InputError(f"attention_mask hides all of sequence {attended_lengths.index(0)}: remove that sequence")
        index = None if sum(lengths) == rows * columns else kept.flatten().nonzero().squeeze(-1)

        position_ids = padded.position_ids
        if position_ids is None:
            position_ids = torch.arange(columns, device=device)[None]
        token_type_ids = padded.token_type_ids
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(position_ids)
        packed_ids, packed_types, packed_positions = (
            _select(tensor.expand(rows, columns), index)
            for tensor in (position_ids if padded.input_ids is None else padded.input_ids, token_type_ids, position_ids)
        )
        bounds = torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32).to(device)
        batch = PackedBatch(packed_ids, packed_types, packed_positions, bounds, np.array(lengths, np.int64))
        unattended = None if lengths == attended_lengths else ~_select(attended, index)
        vectors = None if padded.inputs_embeds is None else _select(padded.inputs_embeds, index)
        return cls(batch, SequenceLayout(batch, unattended), vectors, (rows, columns), index)

    def select(self, padded: Tensor) -> Tensor:
        """The computed rows (T, ...) of a tensor (B, S, ...)."""
        return _select(padded, self.index)

    def restore(self, packed: Tensor) -> Tensor:
        """From (T, ...) to (B, S, ...), 0 where nothing was computed."""
        if self.index is not None:
            padded = packed.new_zeros(self.shape[0] * self.shape[1], *packed.shape[1:])
            packed = padded.index_copy(0, self.index, packed)
        return packed.view(*self.shape, *packed.shape[1:])

    def restore_attention(self, probabilities: Tensor) -> Tensor:
        """From (B, A, M, M) to (B, A, S, S), 0 where nothing was computed."""
        if self.index is None:
            return probabilities
        rows, columns = self.shape
        # (B, 1, S) index of each column among its sequence's rows; columns without a row read the zeros at the end
        source = torch.full((rows * columns,), self.batch.max_seqlen, device=probabilities.device)
        within = torch.arange(self.batch.num_tokens, device=probabilities.device)
        within -= self.batch.cu_seqlens[:-1].repeat_interleave(self.batch.cu_seqlens.diff()).long()
        source = source.index_copy(0, self.index, within).view(rows, 1, columns)
        padded = F.pad(probabilities, (0, 1, 0, 1))
        heads, size = padded.shape[1], padded.shape[-1]
        of_rows = padded.gather(2, source[..., None].expand(rows, heads, columns, size))
        return of_rows.gather(3, source[:, :, None].expand(rows, heads, columns, columns))


def _select(padded: Tensor, index: Tensor | None) -> Tensor:
    flat = padded.flatten(0, 1)
    return flat if index is None else flat.index_select(0, index)
