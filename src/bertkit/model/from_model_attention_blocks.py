"""Which keys the queries of a tile are held against, block by block."""
# A tile is n sequences of L rows; N blocks of Q queries, each against K keys; A heads, D head size.

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bertkit.model.sequence_layout import Tile

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
