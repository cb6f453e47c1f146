"""Options of a training run and of its optimiser; free of torch, because `--help` shows them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from bertkit.core.arguments import checked
from bertkit.core.errors import InputError
from bertkit.core.machine import Precision

OptimizerName = Literal["adamw", "lamb", "stable-adamw"]
Schedule = Literal["linear", "one-cycle", "trapezoidal"]
DecayShape = Literal["linear", "1-sqrt"]


@checked
@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """The optimiser and its schedule; the defaults are the paper's (Devlin et al. 2019, appendix A.2)."""

    optimizer: OptimizerName = "adamw"
    """adamw: without bias correction it is the original's Adam. lamb: for batches of thousands of sequences.
    stable-adamw: AdamW that clips its updates."""
    schedule: Schedule = "linear"
    """How the learning rate falls after warm-up. linear: on a line from the first step on, as in the original.
    one-cycle: from the end of warm-up, which may be in the middle of the run. trapezoidal: only over the last
    `decay_share` of the run."""
    learning_rate: float = 1e-4
    """Peak of the learning rate, at the end of warm-up."""
    warmup_share: float = 0.01
    """Share of all steps over which the learning rate rises from 0."""
    final_share: float = 0.0
    """Learning rate at the end, as a share of the peak."""
    decay_share: float = 0.1
    """Share of all steps over which a trapezoidal learning rate falls."""
    decay_shape: DecayShape = "1-sqrt"
    """How a trapezoidal learning rate falls: linearly, or with 1 - sqrt of the share of the decay that is over."""
    weight_decay: float = 0.01
    """Decoupled weight decay; none on biases and LayerNorm."""
    beta1: float = 0.9
    """Decay of the mean of gradients."""
    beta2: float = 0.999
    """Decay of the mean of squared gradients."""
    epsilon: float = 1e-6
    """Added to the root of the mean of squared gradients, against division by 0."""
    bias_correction: bool | None = None
    """Correct the bias of the moments at the start. Unless given, as the optimiser was published; adamw follows the
    original BERT and does not."""
    max_grad_norm: float = 1.0
    """Gradients with a larger global norm are scaled down to it; inf never scales."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epsilon"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} must be above 0 and finite, got {getattr(self, name)}")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"weight_decay must be at least 0 and finite, got {self.weight_decay}")
        if not 0 <= self.warmup_share < 1:
            raise InputError(f"warmup_share must be in [0, 1), got {self.warmup_share}")
        if not 0 <= self.final_share <= 1:
            raise InputError(f"final_share must be in [0, 1], got {self.final_share}")
        if not 0 < self.decay_share <= 1:
            raise InputError(f"decay_share must be in (0, 1], got {self.decay_share}")
        if self.schedule == "trapezoidal" and self.warmup_share + self.decay_share > 1:
            raise InputError(
                f"warmup_share {self.warmup_share} and decay_share {self.decay_share} are more than the whole run: "
                f"lower one"
            )
        if not self.max_grad_norm > 0:
            raise InputError(f"max_grad_norm must be above 0, got {self.max_grad_norm}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must be in [0, 1), got {getattr(self, name)}")

    @property
    def corrects_bias(self) -> bool:
        """Whether the moments are corrected for having started at 0."""
        return self.optimizer != "adamw" if self.bias_correction is None else self.bias_correction


@checked
@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """One run of the loop, of so many steps or so long; every interval is in steps."""

    steps: int | None = None
    budget_seconds: float | None = None
    """In place of steps: the run ends, and its rate with it, when this time is over. Evaluations on the way and a
    caller's preparations count; the last evaluation comes after."""
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    seed: int = 0
    precision: Precision = "auto"
    log_every: int = 20
    evaluate_every: int = 500
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    select_by: str | None = None
    """Evaluation figure whose highest value decides which weights are kept as the best."""
    patience: int | None = None
    """Evaluations without a better figure after which the run ends; None is never."""
    spike_deviations: float | None = None
    """Steps whose loss or gradient norm is over the usual by so many standard deviations are left out."""

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.budget_seconds is None):
            raise InputError("a run needs --steps or --budget, and not both: give one of them")
        if self.budget_seconds is not None and not self.budget_seconds > 0:
            raise InputError(f"budget_seconds must be above 0, got {self.budget_seconds}")
        if self.spike_deviations is not None and not self.spike_deviations > 0:
            raise InputError(f"spike_deviations must be above 0, got {self.spike_deviations}")
        for name in ("steps", "log_every", "evaluate_every", "checkpoint_every", "keep_checkpoints"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")


Parallel = Literal["ddp", "fsdp"]
"""`ddp` keeps the model whole in every process; `fsdp` gives each a share of every weight, gradient and moment."""
