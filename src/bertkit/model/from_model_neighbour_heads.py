"""What heads that start at the neighbouring tokens have in common."""

SLOWEST = 0.1
"""Radians a token, of the slowest sine that tells tokens 60 apart."""
NOISE_BESIDE = 0.2
"""What is left of the random weights, so that heads and rows differ."""


def shift_of(head: int) -> int:
    """Where a head looks: -1, +1, -2, +2 and so on."""
    return (head // 2 + 1) * (1 if head % 2 else -1)
