"""How fast a parameter learns, and from when on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """One of a parameter's own; `Pace()` is that of the run."""

    rate_factor: float = 1.0
    """Times the learning rate of the step."""
    first_step: int = 0
    """It is frozen before."""
