"""What decides a study of features."""

from __future__ import annotations

from dataclasses import dataclass

from bertkit.foundation.errors import InputError
from bertkit.foundation.precision import Precision


@dataclass(frozen=True, kw_only=True)
class FeatureStudyOptions:
    """The encoder is never trained; what stands on its features is."""

    features: tuple[str, ...] = ()
    """embeddings, second-to-last, last, sum-last-four, weighted-last-four, concat-last-four, weighted-all; all of them
    unless given."""
    seeds: int = 3
    """Trainings that differ in first weights, order and dropout, or in what is held out."""
    train_rows: int | None = None
    """Only so many training examples, the first ones."""
    hold_out: float | None = None
    """Share of the training texts that stands in for the dev set, drawn anew for each seed; not for tags."""
    max_length: int | None = None
    """Tokens of the longest sequence, special ones counted."""
    inverse_penalty: float = 1.0
    """Of the logistic regression: C of scikit-learn."""
    width: int = 768
    """Of the BiLSTM, in each direction."""
    epochs: int = 10
    """Of the BiLSTM; the one with the best dev figure counts."""
    batch_size: int = 32
    """Sentences an update."""
    learning_rate: float = 1e-3
    """Peak, reached after a tenth of all updates."""
    dropout: float = 0.2
    """On what goes into the BiLSTM, between its layers and on what comes out."""
    precision: Precision = "float32"
    """Of the encoder; bf16 is faster where the processor has it; auto takes it there."""

    def __post_init__(self) -> None:
        for name in ("seeds", "train_rows", "width", "epochs", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        for name in ("inverse_penalty", "learning_rate"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.hold_out is not None and not 0 < self.hold_out < 1:
            raise InputError(f"hold_out must lie in (0, 1), got {self.hold_out}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must lie in [0, 1), got {self.dropout}")
