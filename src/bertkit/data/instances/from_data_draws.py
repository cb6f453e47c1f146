"""Random draws of the instances of one epoch, one stream a purpose."""
# n draws.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertkit.foundation.randomness import derive_key, uniforms

_COINS = 53
"""Random bits of one uniform number."""


@dataclass(frozen=True)
class InstanceDraws:
    """Draws keyed by (seed, purpose, epoch, document, number of the instance in its document)."""

    seed: int
    epoch: int

    def uniform(
        self, purpose: str, documents: NDArray[np.int64], numbers: NDArray[np.int64] | int
    ) -> NDArray[np.float64]:
        """Uniform numbers in [0, 1), shape (n,)."""
        key = derive_key(self.seed, "instances", purpose, self.epoch)
        return uniforms(key, (documents << 32 | numbers).astype(np.uint64))

    def target_lengths(
        self, documents: NDArray[np.int64], max_num_tokens: int, short_seq_prob: float
    ) -> NDArray[np.int64]:
        """Length that a document's instances aim at: `max_num_tokens`, or randint(2, max_num_tokens) for some."""
        short = 2 + (self.uniform("short length", documents, 0) * (max_num_tokens - 1)).astype(np.int64)
        return np.where(self.uniform("short", documents, 0) < short_seq_prob, short, max_num_tokens)

    def heads(self, purpose: str, tosses: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many of `tosses` (n,) fair coins show heads, for each; counts the bits of as many random numbers."""
        numbers = -(-tosses // _COINS)
        owner = np.repeat(np.arange(len(tosses)), numbers)
        rank = np.arange(len(owner)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
        coins = np.minimum(tosses[owner] - rank * _COINS, _COINS).astype(np.uint64)
        bits = (self.uniform(purpose, owner, rank) * 2.0**_COINS).astype(np.uint64)
        ones = np.bitwise_count(bits & ((np.uint64(1) << coins) - np.uint64(1)))
        return np.bincount(owner, weights=ones, minlength=len(tosses)).astype(np.int64)
