"""Gradual unfreezing: lower layers begin to learn later."""

from __future__ import annotations


def joining_epochs(parts: int, epochs: int) -> list[int]:
    """The epoch (from 0) in which each of so many parts begins to learn, from the top down.

    None of them learns in the first epoch, which is the head's; then one joins an epoch (Howard and Ruder 2018, section
    3.3). Where there are fewer epochs several join at once, so that all learn in the last.
    """
    return [1 + part * (epochs - 1) // max(parts, epochs - 1) for part in range(parts)]
