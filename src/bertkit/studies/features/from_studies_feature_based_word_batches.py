"""Sentences as words with features, without padding: step by step, as an LSTM reads them."""
# K layers, R words, H hidden, B sentences, S steps of the longest sentence.

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertkit.foundation.ragged import run_starts
from bertkit.foundation.randomness import derive_key, generator


@dataclass(frozen=True)
class WordBatch:
    """First the first words of all sentences, the longest sentence first, then the second words, and so on."""

    features: Tensor
    """(K, R, H)"""
    batch_sizes: Tensor
    """(S,) sentences that have a word at each step; on the processor, as torch wants it."""
    targets: Tensor
    """(R,)"""
    rows: NDArray[np.int64]
    """(R,) where the words stand among all."""


class TaggedWords:
    """Words of all sentences end to end: each layer's features (R, H), targets (R,), the sentences' lengths (B,)."""

    def __init__(
        self, layers: Sequence[NDArray[Any]], targets: Tensor, lengths: NDArray[np.int64], device: torch.device
    ) -> None:
        self._layers, self._targets, self._device = layers, targets, device
        self.lengths, self._starts = lengths, run_starts(lengths)
        self._filled = np.flatnonzero(lengths)

    def batch(self, sentences: NDArray[np.int64]) -> WordBatch:
        """The words of some sentences, none of them empty."""
        order = sentences[np.argsort(-self.lengths[sentences], kind="stable")]
        lengths, steps = self.lengths[order], np.arange(self.lengths[order[0]])
        is_word = steps[:, None] < lengths  # (S, B)
        rows = (self._starts[order] + steps[:, None])[is_word]
        features = np.stack([layer[rows] for layer in self._layers]).astype(np.float32)
        return WordBatch(
            torch.from_numpy(features).to(self._device),
            torch.from_numpy(is_word.sum(1)),
            self._targets[torch.from_numpy(rows)].to(self._device),
            rows,
        )

    def steps_per_epoch(self, batch_size: int) -> int:
        """Batches in an epoch, of which the last may be smaller."""
        return math.ceil(len(self._filled) / batch_size)

    def shuffled(self, batch_size: int, seed: int, start: int, stop: int) -> Iterator[list[WordBatch]]:
        """The batches of the steps from `start` up to `stop`; every epoch has an order of its own."""
        for step in range(start, stop):
            epoch, place = divmod(step, self.steps_per_epoch(batch_size))
            order = generator(derive_key(seed, "order", epoch)).permutation(self._filled)
            yield [self.batch(order[place * batch_size : (place + 1) * batch_size])]

    def in_order(self, batch_size: int) -> Iterator[WordBatch]:
        """Every sentence once, like lengths together."""
        order = self._filled[np.argsort(-self.lengths[self._filled], kind="stable")]
        for first in range(0, len(order), batch_size):
            yield self.batch(order[first : first + batch_size])
