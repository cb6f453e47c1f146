"""Everything but the model and the data that decides a fine-tuning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from bertkit.foundation.errors import InputError
from bertkit.foundation.precision import Precision
from bertkit.training.options import OptimizerOptions

_EPOCHS, _MIN_STEPS = 3, 500


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions:
    """Rate, batch and epochs of the paper's grid (Devlin et al. 2019, appendix A.3)."""

    epochs: int | None = None
    """3, on small sets as many as `min_steps` take, unless given."""
    min_steps: int | None = None
    """Updates to take at least, in whole epochs; 500 unless given, or none where `epochs` are."""
    batch_size: int = 32
    """Examples an update."""
    learning_rate: float = 5e-5
    """Peak; the paper tries 5e-5, 4e-5, 3e-5 and 2e-5."""
    warmup_share: float = 0.1
    """Share of all steps over which the rate rises from 0."""
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    bias_correction: bool = True
    """Adam's correction of the first moments' bias; the original leaves it out, which makes small sets unstable."""
    max_length: int | None = None
    """Tokens of the longest sequence, special ones counted; 128, for questions about a text 384, unless given."""
    seeds: int = 1
    """Runs that differ in the head's first weights, the order of the data and dropout."""
    seed: int = 0
    """The first run's; the others follow."""
    parallel_seeds: int | Literal["auto"] = "auto"
    """How many seeds train at a time, in processes that share the cores; auto is as many as memory and cores allow,
    but one on a GPU and where seeds take no time."""
    freeze: tuple[str, ...] = ()
    """What is not trained: embeddings, layers:0-5, layers:3, encoder; several by commas."""
    layer_decay: float = 1.0
    """Factor by which the rate falls from a layer to the one below, the head having the whole; 0.9 is usual."""
    reinitialize_layers: int = 0
    """Layers from the top that start from random weights, the pooler with them."""
    gradual_unfreezing: bool = False
    """Begin with the head alone; then the layers join from the top, one an epoch, or more so that all learn in the last
    epoch."""
    patience: int | None = None
    """Evaluations without a better dev metric after which a seed ends."""
    label_smoothing: float = 0.0
    """Share of a target's probability that is spread over all classes; 0.1 is usual."""
    class_weights: tuple[str, ...] = ()
    """How much the examples of a class count: balanced, or CLASS=NUMBER once a class."""
    from_random: bool = False
    """Start from random weights of the model's sizes, to see what pre-training brings."""
    hidden_dropout: float | None = None
    """In place of the model's."""
    attention_dropout: float | None = None
    """In place of the model's."""
    dev_share: float = 0.1
    """Share of the training examples that is held out where there is no dev set."""
    evaluations_per_epoch: int = 1
    select_by: str | None = None
    """Dev metric that decides which weights are kept; the task's first unless given."""
    micro_batch_tokens: int | None = None
    """Tokens that go through the model at once: memory against speed. 4096 on a processor, 65536 on a GPU unless
    given."""
    precision: Precision = "auto"
    """auto is bf16 where the device multiplies it in hardware."""
    log_every: int = 20
    """Steps between two log lines."""

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 1:
            raise InputError(f"max_length must be at least 1, got {self.max_length}")
        for name in ("batch_size", "seeds", "evaluations_per_epoch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.parallel_seeds != "auto" and self.parallel_seeds < 1:
            raise InputError(f"parallel_seeds must be at least 1, or auto, got {self.parallel_seeds}")
        for name in ("epochs", "min_steps", "patience", "micro_batch_tokens"):
            if (given := getattr(self, name)) is not None and given < 1:
                raise InputError(f"{name} must be at least 1, got {given}")
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"label_smoothing must lie in [0, 1), got {self.label_smoothing}")
        if not 0 < self.layer_decay <= 1:
            raise InputError(
                f"layer_decay must lie in (0, 1], got {self.layer_decay}: 1 is one rate for all, 0.9 is usual"
            )
        if self.reinitialize_layers < 0:
            raise InputError(f"reinitialize_layers must be at least 0, got {self.reinitialize_layers}")
        if self.reinitialize_layers and self.from_random:
            raise InputError("from_random leaves nothing to draw anew: leave reinitialize_layers out")
        if not 0 < self.dev_share <= 0.5:
            raise InputError(f"dev_share must lie in (0, 0.5], got {self.dev_share}")
        _ = self.optimizer  # its own checks

    def epochs_of(self, steps_per_epoch: int) -> int:
        """How many there are; small sets need more of them (Zhang et al. 2021, section 6; Mosbach et al. 2021)."""
        epochs = _EPOCHS if self.epochs is None else self.epochs
        steps = self.min_steps or (_MIN_STEPS if self.epochs is None else 1)
        return max(epochs, math.ceil(steps / steps_per_epoch))

    @property
    def optimizer(self) -> OptimizerOptions:
        """The part that the optimiser takes."""
        return OptimizerOptions(
            learning_rate=self.learning_rate,
            warmup_share=self.warmup_share,
            weight_decay=self.weight_decay,
            bias_correction=self.bias_correction,
            max_grad_norm=self.max_grad_norm,
        )
