"""What the figures of a run are held against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Yardsticks:
    """Measured before the run."""

    unigram_entropy: float | None = None
    """Of the corpus, in nats: the loss at which a masked-LM run that learns nothing more stands still."""
    matrix_peak: float | None = None
    """Operations/s that all processes together reach in a large matrix product."""
