"""What a user says of a pre-training run, whether it is made or only planned."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bertkit.data.instances import InstanceOptions
from bertkit.data.masking import MaskingOptions
from bertkit.data.stages import StageOptions
from bertkit.foundation.durations import parse_duration
from bertkit.foundation.errors import InputError
from bertkit.foundation.precision import Precision
from bertkit.model.config import BertConfig
from bertkit.model.presets import MODERN_PRESETS, PRESETS
from bertkit.recipes.presets import RecipeName
from bertkit.recipes.pretrain_options import InitialWeights, PretrainOptions
from bertkit.training.options import OptimizerOptions, TrainingOptions
from bertkit.training.parallel import Parallel

FLAT = Parameter(name="*")
Size = Literal["tiny", "mini", "small", "medium", "base", "large"]


@dataclass(frozen=True, kw_only=True)
class PretrainingChoices:
    """Options of the command line and of files, by the same names; each is documented where help prints it."""

    recipe: RecipeName | None = None
    """Options that belong together, as in a --config file; yours and those of a --config file come first. bert: the
    paper. roberta: no next sentences, full sequences. budget: most quality for little time. modern: ModernBERT."""
    steps: int | None = None
    """Updates of the weights."""
    budget: str | None = None
    """Time for the run in place of steps: 30m, 1h30m, 2d. The learning rate ends with it."""
    architecture: Literal["bert", "modern"] = "bert"
    """bert: the paper's. modern: ModernBERT's, with rotary positions, local attention and gated layers."""
    batch_size: int = 256
    """Sequences an update."""
    nsp: bool = True
    """Learn next-sentence prediction too; needs at least two documents."""
    nsp_weight: float = 1.0
    """Weight of the next-sentence loss; 0.1 where batches are small, or its noise drowns the masked LM."""
    seq_length: int = 128
    """Longest sequence in tokens, special ones counted."""
    short_seq_prob: float = 0.1
    """Share of the documents whose sequences aim at a random shorter length."""
    full_sentences: bool = False
    """Fill every sequence to its length, across documents."""
    stages: Annotated[StageOptions, FLAT] = field(default_factory=StageOptions)
    masking: Annotated[MaskingOptions, FLAT] = field(default_factory=MaskingOptions)
    optimizer: Annotated[OptimizerOptions, FLAT] = field(default_factory=OptimizerOptions)
    hidden_dropout: float | None = None
    """Dropout of hidden states, in place of the preset's 0.1."""
    attention_dropout: float | None = None
    """Dropout of attention probabilities, in place of the preset's 0.1."""
    max_position_embeddings: int | None = None
    """Positions that the model knows, in place of the preset's 512."""
    initializer_range: float | None = None
    """Deviation of the random weights, in place of the preset's 0.02; small models on little text learn sooner with
    0.05."""
    initial_weights: InitialWeights = "paper"
    """paper: all at random. informed: word embeddings start from what stands beside each word in the corpus, heads at
    the neighbouring tokens, the output at the frequencies of words; short runs learn many times more."""
    initial_model: Path | None = None
    """Model folder to go on from, with its sizes and its vocabulary."""
    held_out: list[Path] | None = None
    """Prepared corpora to evaluate on; without any, a share of the documents is held out."""
    held_out_share: float = 0.005
    """That share."""
    evaluation_sequences: int = 1024
    """Sequences of each held-out corpus in one evaluation, masked as in the paper."""
    micro_batch_tokens: int | None = None
    """Tokens that go through the model at once: memory against speed. 4096 on a processor, 65536 on a GPU unless
    given."""
    activation_checkpointing: bool = False
    """Compute activations twice rather than keep them: far less memory, a third more time."""
    compile: bool = False
    """Fuse each layer's element-wise work by torch.compile: for GPUs; processors gain nothing from it."""
    spike_deviations: float | None = 6.0
    """Leave out steps whose loss or gradient norm is over the usual by so many standard deviations."""
    seed: int = 0
    """Decides every random draw."""
    precision: Precision = "auto"
    """auto is bf16 where the device multiplies it in hardware."""
    log_every: int = 20
    """Steps between two log lines."""
    evaluate_every: int = 500
    """Steps between two evaluations."""
    checkpoint_every: int = 500
    """Steps between two checkpoints."""
    keep_checkpoints: int = 2
    """Newest checkpoints to keep."""
    parallel: Parallel = "ddp"
    """Under torchrun. ddp: the model whole in every process. fsdp: each holds a share, for models that do not fit."""

    def options(self, size: Size) -> PretrainOptions:
        """What the recipe takes; raises `InputError` where choices do not fit together."""
        return PretrainOptions(
            model=self._model(size),
            training=TrainingOptions(
                steps=self.steps,
                budget_seconds=None if self.budget is None else parse_duration(self.budget),
                optimizer=self.optimizer,
                seed=self.seed,
                precision=self.precision,
                log_every=self.log_every,
                evaluate_every=self.evaluate_every,
                checkpoint_every=self.checkpoint_every,
                keep_checkpoints=self.keep_checkpoints,
                spike_deviations=self.spike_deviations,
            ),
            instances=InstanceOptions(
                seq_length=self.seq_length, short_seq_prob=self.short_seq_prob, next_sentence=self.nsp
            ),
            full_sentences=self.full_sentences,
            stages=self.stages,
            masking=self.masking,
            batch_size=self.batch_size,
            micro_batch_tokens=self.micro_batch_tokens,
            activation_checkpointing=self.activation_checkpointing,
            compile=self.compile,
            held_out=tuple(self.held_out or ()),
            held_out_share=self.held_out_share,
            evaluation_sequences=self.evaluation_sequences,
            next_sentence_weight=self.nsp_weight,
            initial_weights=self.initial_weights,
            initial_model=self.initial_model,
            parallel=self.parallel,
        )

    def _model(self, size: Size) -> BertConfig:
        model = (MODERN_PRESETS if self.architecture == "modern" else PRESETS)[size]
        if self.initial_model is not None:
            from bertkit.model.folder import ModelFolder

            model = ModelFolder.open(self.initial_model).config
            if self.architecture == "modern" and model.model_type != "modernbert":
                raise InputError(
                    f"{self.initial_model} is of type {model.model_type}, and --architecture modern or --recipe modern "
                    "makes a ModernBERT: leave out the model, or say --architecture bert"
                )
        changes = {
            "hidden_dropout_prob": self.hidden_dropout,
            "attention_probs_dropout_prob": self.attention_dropout,
            "max_position_embeddings": self.max_position_embeddings,
            "initializer_range": self.initializer_range,
        }
        return replace(model, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]
