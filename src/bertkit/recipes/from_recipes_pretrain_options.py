"""Everything that decides a pre-training run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bertkit.data.instances import InstanceOptions
from bertkit.data.masking import MaskingOptions
from bertkit.data.stages import StageOptions
from bertkit.foundation.errors import InputError
from bertkit.model.config import BertConfig
from bertkit.training.options import TrainingOptions
from bertkit.training.parallel import Parallel

InitialWeights = Literal["paper", "informed"]


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
    attention from learning; 0.1 mends that.
    """
    initial_weights: InitialWeights = "paper"
    """`paper`: all at random. `informed`: word embeddings start from what stands beside each word in the whole corpus,
    the first layer's heads at the neighbouring tokens, the masked-LM bias at the frequencies of words, so that short
    runs learn many times more."""
    initial_model: Path | None = None
    """Model folder whose weights the run starts from, in place of random ones."""
    parallel: Parallel = "ddp"
    """How several processes share the work; a run may go on with another choice."""

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
