"""Where the sequences of a packed batch are, and how they are grouped in tiles of few shapes."""
# T tokens, B sequences; a tile is n sequences of L rows each, some of which may be padding.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bertkit.core.batch import PackedBatch

_LARGEST_TILE_TOKENS = 2048
"""More sequences at once do not fit a CPU's second-level cache."""


@dataclass(frozen=True, eq=False)
class Tile:
    """Sequences that attention handles together.

    Without `index` the tile is `n * L` neighbouring tokens from `first_token` on. With it, `index` (n * L,) says which
    token each row takes, `padding` (n, L) which rows are no token, and `tokens` which are, and which token each is.
    `unattended` (n, L) are the rows that no row attends to: padding, and tokens that only look at others.
    """

    sequences: int
    length: int
    first_token: int
    index: Tensor | None = None
    padding: Tensor | None = None
    tokens: tuple[Tensor, Tensor] | None = None
    unattended: Tensor | None = None

    def take(self, packed: Tensor) -> Tensor:
        """Rows (n, L, ...) of a packed tensor (T, ...); a view where there is no padding."""
        count = self.sequences * self.length
        neighbours = slice(self.first_token, self.first_token + count)
        rows = packed[neighbours] if self.index is None else packed.index_select(0, self.index)
        return rows.view(self.sequences, self.length, *packed.shape[1:])

    def put(self, packed: Tensor, rows: Tensor) -> None:
        """Write rows (n, L, ...) that are tokens into a packed tensor (T, ...)."""
        if self.tokens is None:
            self.take(packed).copy_(rows)
        else:
            kept, places = self.tokens
            packed.index_copy_(0, places, rows.flatten(0, 1).index_select(0, kept))


class SequenceLayout:
    """The boundaries of a batch's sequences, and on demand its tiles.

    A CPU's matrix library builds a kernel for every shape it meets, which costs more than running it, so
    tiles have lengths in steps and powers of two as counts. Sorted batches have the least padding: none where
    neighbours are equally long.

    `unattended` (T,), where given, marks tokens that attend to their sequence but that no token attends to; every
    sequence has another one.
    """

    def __init__(self, batch: PackedBatch, unattended: Tensor | None = None) -> None:
        self.cu_seqlens, self.max_seqlen, self.num_tokens = batch.cu_seqlens, batch.max_seqlen, batch.num_tokens
        self.unattended = unattended
        self._lengths = batch.lengths

    @cached_property
    def attended(self) -> tuple[Tensor, Tensor]:
        """Where the tokens that are attended to are (K,), and their sequences' bounds among them, int32 (B+1,)."""
        assert self.unattended is not None
        attended = ~self.unattended
        before = torch.nn.functional.pad(attended.cumsum(0, dtype=torch.int32), (1, 0))
        return attended.nonzero().squeeze(-1), before[self.cu_seqlens]

    @cached_property
    def tiles(self) -> Sequence[Tile]:
        """Tiles that hold every token once."""
        lengths = self._lengths
        starts = np.cumsum(lengths) - lengths
        order = np.argsort(-lengths, kind="stable")
        order = order[lengths[order] > 0]
        tiles = [
            _tile(starts[members], lengths[members], self.cu_seqlens.device) for members in _cut(order, lengths[order])
        ]
        return tiles if self.unattended is None else [_with_unattended(tile, self.unattended) for tile in tiles]


def _cut(order: NDArray[np.int64], lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut sequences, longest first, into groups of power-of-two size, equally long or at least half as long."""
    first = 0
    while first < len(order):
        longest = int(lengths[first])
        equal = int(np.searchsorted(-lengths, -longest, side="right")) - first
        similar = int(np.searchsorted(-lengths, -(longest // 2), side="right")) - first
        most = max(1, _LARGEST_TILE_TOKENS // padded_length(longest))
        count = 1 << (min(equal if equal > 1 else similar, most).bit_length() - 1)
        yield order[first : first + count]
        first += count


def padded_length(length: int) -> int:
    """The next length in steps of 16, of 64 from 128 on."""
    step = 16 if length <= 128 else 64
    return -(-length // step) * step


def _tile(starts: NDArray[np.int64], lengths: NDArray[np.int64], device: torch.device) -> Tile:
    longest = int(lengths[0])
    padded = padded_length(longest)
    neighbours = np.array_equal(starts, starts[0] + longest * np.arange(len(starts)))
    if neighbours and lengths[-1] == longest == padded:
        return Tile(len(starts), longest, int(starts[0]))
    rows = np.arange(padded)
    index = starts[:, None] + np.minimum(rows, lengths[:, None] - 1)
    padding = rows >= lengths[:, None]
    kept = np.flatnonzero(~padding)
    no_token = _moved(padding, device)
    return Tile(
        len(starts),
        padded,
        int(starts[0]),
        index=_moved(index.ravel(), device),
        padding=no_token,
        tokens=(_moved(kept, device), _moved(index.ravel()[kept], device)),
        unattended=no_token,
    )


def _moved(array: NDArray[Any], device: torch.device) -> Tensor:
    """On the device, without waiting for it."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _with_unattended(tile: Tile, unattended: Tensor) -> Tile:
    rows = tile.take(unattended)
    return replace(tile, unattended=rows if tile.padding is None else rows | tile.padding)


_STEP, _FEW_STEP = 64, 16


def pad_rows(rows: Tensor) -> Tensor:
    """On a CPU append zero rows to (N, H) up to the next multiple of 64, of 16 below 64; callers cut them off again.

    Its matrix library builds a kernel for every shape it meets, which costs more than running it: with a new number of
    tokens in every batch, a step takes several times as long. A GPU's does not, and its attention kernel would leave
    the rows of no sequence unwritten.
    """
    step = _STEP if len(rows) > _STEP else _FEW_STEP
    return rows if rows.is_cuda else F.pad(rows, (0, 0, 0, -len(rows) % step))
