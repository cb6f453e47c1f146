"""Counter-based random numbers: a draw depends on what it is for, never on what was drawn before."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

GAMMA = np.uint64(0x9E3779B97F4A7C15)
"""SplitMix64's step from one state to the next: 2**64 over the golden ratio, odd."""


def derive_key(*parts: int | str) -> int:
    """64-bit key of a purpose, such as `derive_key(seed, "masking", epoch)`."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def uniforms(key: int, counters: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), one for each counter, of the stream `key`.

    SplitMix64 (Steele, Lea and Flood 2014) evaluated at any position of its sequence.
    """
    with np.errstate(over="ignore"):
        bits = mix64(np.uint64(key) + (counters + np.uint64(1)) * GAMMA)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def mix64(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's bijection, which spreads every bit over all 64; in place."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def generator(key: int) -> np.random.Generator:
    """NumPy generator (Philox) of the stream `key`."""
    return np.random.Generator(np.random.Philox(key=key))
