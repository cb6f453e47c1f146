"""The sizes of the demo: the full one and a quick one that only shows that everything works."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bertkit.data.instances import InstanceOptions
from bertkit.data.masking import MaskingOptions
from bertkit.model.config import BertConfig
from bertkit.recipes.pretrain_options import PretrainOptions
from bertkit.studies.few_label_finetuning import FewLabelOptions
from bertkit.studies.learning_curve import CurveSize
from bertkit.studies.package_task import PackageTaskOptions
from bertkit.training.options import OptimizerOptions, TrainingOptions


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Everything that decides what the demo finds."""

    pretraining: PretrainOptions
    sizes: tuple[CurveSize, ...]
    task: PackageTaskOptions = field(default_factory=PackageTaskOptions)
    finetuning: FewLabelOptions = field(default_factory=FewLabelOptions)
    vocab_size: int = 4000
    max_length: int = 64
    """Tokens of a sentence."""
    library: Path | None = None
    """Folder of the modules whose documentation is read; this Python's own unless given."""
    is_meaningful: bool = True
    """Whether the figures say something about the methods."""


FULL = DemoOptions(
    pretraining=PretrainOptions(
        model=BertConfig(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
            max_position_embeddings=128,
            initializer_range=0.05,
        ),
        training=TrainingOptions(
            steps=2400,
            optimizer=OptimizerOptions(learning_rate=1e-3, warmup_share=0.06, beta2=0.98, bias_correction=True),
            log_every=100,
            evaluate_every=300,
            checkpoint_every=300,
        ),
        instances=InstanceOptions(seq_length=64),
        masking=MaskingOptions(select_rate=0.3),
        batch_size=16,
        next_sentence_weight=0.1,
        initial_weights="informed",
        held_out_share=0.04,
    ),
    sizes=(
        CurveSize(per_class=5, seeds=3),
        CurveSize(per_class=20, seeds=3),
        CurveSize(per_class=80, seeds=3),
        CurveSize(per_class=None, seeds=2),
    ),
)

QUICK = DemoOptions(
    pretraining=PretrainOptions(
        model=BertConfig(
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=256,
            max_position_embeddings=128,
            initializer_range=0.05,
        ),
        training=TrainingOptions(
            steps=60,
            optimizer=OptimizerOptions(learning_rate=2e-3, warmup_share=0.06, beta2=0.98, bias_correction=True),
            log_every=10,
            evaluate_every=20,
            checkpoint_every=20,
        ),
        instances=InstanceOptions(seq_length=64),
        masking=MaskingOptions(select_rate=0.3),
        batch_size=32,
        initial_weights="informed",
        held_out_share=0.04,
        evaluation_sequences=128,
    ),
    sizes=(CurveSize(per_class=5, seeds=2), CurveSize(per_class=20, seeds=2)),
    finetuning=FewLabelOptions(epochs=2, min_steps=20),
    vocab_size=2000,
    is_meaningful=False,
)
