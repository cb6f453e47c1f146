"""Counter-based random numbers: a draw depends on what it is for, never on what was drawn before."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def derive_key(*parts: int | str) -> int:
    """64-bit key of a purpose, such as `derive_key(seed, "masking", epoch)`."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def uniforms(key: int, counters: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), one for each counter, of the stream `key`.

    SplitMix64 (Steele, Lea and Flood 2014) evaluated at any position of its sequence.
    """
    with np.errstate(over="ignore"):
        state = np.uint64(key) + (counters + np.uint64(1)) * _GAMMA
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def generator(key: int) -> np.random.Generator:
    """NumPy generator (Philox) of the stream `key`."""
    return np.random.Generator(np.random.Philox(key=key))
