"""How long, how fast and how often."""

from __future__ import annotations

from dataclasses import dataclass, field

from bertkit.foundation.errors import InputError
from bertkit.foundation.precision import Precision


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """AdamW and its schedule; the defaults are the paper's for pre-training (Devlin et al. 2019, appendix A.2)."""

    learning_rate: float = 1e-4
    """Peak, reached where warm-up ends."""
    warmup_share: float = 0.01
    """Share of all steps over which the rate rises from 0."""
    weight_decay: float = 0.01
    """Decoupled; never on biases and LayerNorm."""
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    bias_correction: bool = False
    """Adam's correction of the first moments' bias, which the original leaves out."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm."""

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise InputError(f"learning_rate must be above 0, got {self.learning_rate}")
        if not 0 <= self.warmup_share < 1:
            raise InputError(f"warmup_share must lie in [0, 1), got {self.warmup_share}")
        if self.max_grad_norm <= 0:
            raise InputError(f"max_grad_norm must be above 0, got {self.max_grad_norm}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must lie in [0, 1), got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """One run of the loop; every interval is in steps."""

    steps: int
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    seed: int = 0
    precision: Precision = "auto"
    log_every: int = 20
    evaluate_every: int = 500
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    select_by: str | None = None
    """Evaluation figure whose highest value decides which weights are kept as the best."""

    def __post_init__(self) -> None:
        for name in ("steps", "log_every", "evaluate_every", "checkpoint_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
