"""Options of the recipes; free of torch, because `--help` shows them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

from bertkit.core.arguments import checked
from bertkit.core.errors import InputError
from bertkit.core.machine import Precision, WeightRange
from bertkit.data.instances.options import InstanceOptions, MaskingOptions, StageOptions
from bertkit.model.config import BertConfig
from bertkit.training.options import OptimizerOptions, Parallel, TrainingOptions

InitialWeights = Literal["paper", "informed"]


@checked
@dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """The model, its data and its training; `model.vocab_size` is taken from the corpus."""

    model: BertConfig
    training: TrainingOptions
    instances: InstanceOptions = field(default_factory=InstanceOptions)
    masking: MaskingOptions = field(default_factory=MaskingOptions)
    stages: StageOptions = field(default_factory=StageOptions)
    full_sentences: bool = False
    """Sequences are filled across documents, as RoBERTa's are, in place of ending where one ends."""
    batch_size: int = 256
    """Sequences an update."""
    micro_batch_tokens: int | None = None
    """Tokens that go through the model at once: memory against speed. A batch is cut so that they fit; None is as many
    as suit the device."""
    held_out: tuple[Path, ...] = ()
    """Prepared folders to evaluate on; without any, a share of the documents is held out."""
    held_out_share: float = 0.005
    evaluation_sequences: int = 1024
    """Sequences of each held-out corpus in one evaluation."""
    next_sentence_weight: float = 1.0
    """Weight of the next-sentence loss beside the masked LM's.

    With small batches its gradient, from one decision a sequence, is much noisier than the masked LM's and keeps
    attention from learning; 0.1 avoids that.
    """
    initial_weights: InitialWeights = "paper"
    """`paper`: all at random. `informed`: word embeddings start from the neighbours of each word in the whole corpus,
    the first layer's heads at the neighbouring tokens, the masked-LM bias at the frequencies of words, so that short
    runs learn many times more."""
    initial_model: Path | None = None
    """Model folder whose weights the run starts from, in place of random ones."""
    parallel: Parallel = "ddp"
    """How several processes share the work; a run may be resumed with another choice."""
    activation_checkpointing: bool = False
    """The backward pass computes the layers' activations again, which takes a third more time and far less memory."""
    compile: bool = False
    """Fuse the element-wise work of each layer by `torch.compile`."""

    def __post_init__(self) -> None:
        for name, length in (
            ("seq_length", self.instances.seq_length),
            ("long_seq_length", self.stages.long_seq_length or 0),
        ):
            if length > self.model.max_length:
                raise InputError(
                    f"{name} {length} is over the model's {self.model.max_length} "
                    f"positions: lower it or raise max_position_embeddings"
                )
        if self.full_sentences and self.instances.next_sentence:
            raise InputError("full sentences have no pairs for next-sentence prediction: add --no-nsp")
        if not 0 < self.next_sentence_weight < math.inf:
            raise InputError(
                f"next_sentence_weight must be above 0 and finite, got {self.next_sentence_weight}: or use --no-nsp"
            )
        if self.initial_model is not None and self.initial_weights != "paper":
            raise InputError(
                f"{self.initial_model} and informed initial weights are two starts: leave one out, the weights by "
                "--initial-weights paper where a recipe informs them"
            )
        if self.evaluation_sequences < 1:
            raise InputError(f"evaluation_sequences must be at least 1, got {self.evaluation_sequences}")


_EPOCHS, _MIN_STEPS = 3, 500


@checked
@dataclass(frozen=True, kw_only=True)
class FinetuneOptions:
    """Rate, batch and epochs of the paper's grid (Devlin et al. 2019, appendix A.3)."""

    epochs: int | None = None
    """Passes over the training examples; unless given, 3, or on small sets as many as `min_steps` need."""
    min_steps: int | None = None
    """Least number of updates, in whole epochs; unless given, 500, or none where `epochs` is given."""
    batch_size: int = 32
    """Examples per update."""
    learning_rate: float = 5e-5
    """Peak of the learning rate; the paper tries 5e-5, 4e-5, 3e-5 and 2e-5."""
    warmup_share: float = 0.1
    """Share of all steps over which the learning rate rises from 0."""
    weight_decay: float = 0.01
    """Decoupled weight decay; none on biases and LayerNorm."""
    max_grad_norm: float = 1.0
    """Gradients with a larger global norm are scaled down to it."""
    bias_correction: bool = True
    """Correct the bias of Adam's moments at the start; the original does not, which makes small sets unstable."""
    max_length: int | None = None
    """Tokens of the longest sequence, with special tokens; unless given, 128, and for questions about a text 384."""
    seeds: int = 1
    """Number of runs, which differ in the head's initial weights, the order of the data and dropout."""
    seed: int = 0
    """Seed of the first run; the others have the numbers after it."""
    parallel_seeds: int | Literal["auto"] = "auto"
    """How many seeds train at the same time, in processes that share the CPU cores; auto is as many as memory and cores
    allow, but one on a GPU and where a seed takes little time."""
    freeze: tuple[str, ...] = ()
    """What is not trained: embeddings, layers:0-5, layers:3, encoder; several separated by commas."""
    layer_decay: float = 1.0
    """Layer-wise learning-rate decay: factor from each layer to the one below it, from the head down; 0.9 is usual."""
    reinitialize_layers: int = 0
    """How many layers, from the top, start from random weights; the pooler then does too."""
    gradual_unfreezing: bool = False
    """Train only the head at first, then unfreeze layers from the top, one per epoch, or more so that all are trained
    in the last epoch."""
    patience: int | None = None
    """Evaluations without a better dev metric after which a seed ends."""
    label_smoothing: float = 0.0
    """Share of the target probability that is spread over all classes; 0.1 is usual."""
    class_weights: tuple[str, ...] = ()
    """Weights of the classes in the loss: balanced, or CLASS=NUMBER once per class."""
    from_random: bool = False
    """Start from random weights instead of the model's, to see what pre-training brings."""
    hidden_dropout: float | None = None
    """Dropout of hidden states, in place of the model's."""
    attention_dropout: float | None = None
    """Dropout of attention probabilities, in place of the model's."""
    dev_share: float = 0.1
    """Share of the training examples that is held out where there is no dev set."""
    evaluations_per_epoch: int = 1
    """How often an epoch is interrupted to evaluate on dev; the last one is at its end."""
    select_by: str | None = None
    """Dev metric that chooses the weights to keep; unless given, the task's first."""
    micro_batch_tokens: int | None = None
    """Tokens that go through the model at once; more are faster and take more memory. Unless given, 4096 on a CPU and
    65536 on a GPU."""
    precision: Precision = "auto"
    """auto is bf16 where the device supports it in hardware, else float32."""
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
            raise InputError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")
        if not 0 < self.layer_decay <= 1:
            raise InputError(
                f"layer_decay must be in (0, 1], got {self.layer_decay}: 1 is one rate for all, 0.9 is usual"
            )
        if self.reinitialize_layers < 0:
            raise InputError(f"reinitialize_layers must be at least 0, got {self.reinitialize_layers}")
        if self.reinitialize_layers and self.from_random:
            raise InputError("from_random leaves nothing to re-initialize: leave reinitialize_layers out")
        if not 0 < self.dev_share <= 0.5:
            raise InputError(f"dev_share must be in (0, 0.5], got {self.dev_share}")
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


_USUAL = FinetuneOptions()


@checked
@dataclass(frozen=True, kw_only=True)
class GridOptions:
    """Batches, rates and epochs of the paper (Devlin et al. 2019, section 4.1 and appendix A.3)."""

    batch_sizes: tuple[int, ...] = (16, 32)
    learning_rates: tuple[float, ...] = (5e-5, 4e-5, 3e-5, 2e-5)
    epochs: tuple[int, ...] = (2, 3, 4)
    restarts: int = 5
    """Seeds of the chosen setting in all, where the training set is small."""
    small_below: int = 10_000
    """Training examples from which on a set is not small: CoLA, MRPC, STS-B, RTE and WNLI are."""

    def __post_init__(self) -> None:
        for name in ("batch_sizes", "learning_rates", "epochs"):
            if not getattr(self, name):
                raise InputError(f"{name} of a grid is empty: give one value at least")

    def tried(self) -> dict[str, list[float]]:
        """All values of each option that the grid chooses."""
        return {
            "batch_size": list(self.batch_sizes),
            "learning_rate": list(self.learning_rates),
            "epochs": list(self.epochs),
        }

    def settings(self, options: FinetuneOptions) -> Iterator[FinetuneOptions]:
        """Every combination; `InputError` where `options` chooses what the grid is to choose."""
        for name in (*self.tried(), "min_steps"):
            if getattr(options, name) != getattr(_USUAL, name):
                raise InputError(f"a grid tries its own values: leave {name} {getattr(options, name)} out")
        for batch_size, rate, epochs in itertools.product(self.batch_sizes, self.learning_rates, self.epochs):
            yield replace(options, batch_size=batch_size, learning_rate=rate, epochs=epochs)

    def seeds_of_best(self, options: FinetuneOptions, train_examples: int) -> int:
        """How many seeds the chosen setting gets."""
        return max(options.seeds, self.restarts) if train_examples < self.small_below else options.seeds


PAPER_GRID = GridOptions()
"""The settings that the paper tried for every task (Devlin et al. 2019, appendix A.3)."""


@checked
@dataclass(frozen=True, kw_only=True)
class MachineCost:
    """As far as it is known."""

    price_per_hour: float | None = None
    """Price of the machine per hour, in any currency; with --budget."""
    watts: float | None = None
    """Power of the machine in watts; with --budget."""

    def __post_init__(self) -> None:
        for option in fields(self):
            if (value := getattr(self, option.name)) is not None and value < 0:
                raise InputError(f"{option.name} must be at least 0, got {value}")

    def kilowatt_hours(self, seconds: float) -> float | None:
        """Energy of some time."""
        return None if self.watts is None else self.watts * seconds / 3_600_000

    def price(self, seconds: float) -> float | None:
        """Money for some time."""
        return None if self.price_per_hour is None else self.price_per_hour * seconds / 3600


@checked
@dataclass(frozen=True, kw_only=True)
class QuantizeOptions:
    """What an int8 model may lose, and what its integers may be."""

    max_loss: float = 0.5
    """Points, hundredths of the metric."""
    weight_range: WeightRange = 127
    """Largest magnitude of a weight: 63 gives the same integers on CPUs without VNNI, which narrow 127 when they load
    it."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_loss) and self.max_loss >= 0):
            raise InputError(f"max_loss is {self.max_loss}: give points of 0 or more, such as 0.5")
        if self.weight_range not in (127, 63):
            raise InputError(f"weight_range is {self.weight_range}: give 127, or 63 for CPUs without VNNI")
