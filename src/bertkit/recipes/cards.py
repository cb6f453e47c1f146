"""What a run says of itself in its model's card."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from bertkit.core.console import format_duration
from bertkit.pretrained.card import Figure, ModelCard
from bertkit.recipes.options import FinetuneOptions, PretrainOptions
from bertkit.training.options import OptimizerOptions, TrainingOptions

_OFF_BY_DEFAULT = (
    "freeze",
    "layer_decay",
    "reinitialize_layers",
    "gradual_unfreezing",
    "patience",
    "label_smoothing",
    "class_weights",
)


def pretraining_card(
    options: PretrainOptions, *, corpus: Path, contents: str, evaluation: Mapping[str, float]
) -> ModelCard:
    """`contents` says what the prepared folder `corpus` holds; figures of `evaluation` are named `part/figure`."""
    results: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for name, value in evaluation.items():
        part, _, figure = name.rpartition("/")
        results[part][figure] = value
    tasks = "masked LM and next-sentence prediction" if options.instances.next_sentence else "masked LM"
    held_out = ", ".join(path.name for path in options.held_out) or f"{options.held_out_share:.2%} of the documents"
    random = (
        "weights that know how the corpus uses its words" if options.initial_weights == "informed" else "random weights"
    )
    start = random if options.initial_model is None else options.initial_model.name
    return ModelCard(
        title=f"A BERT pre-trained on {corpus.name}",
        summary=f"Pre-trained by bertkit from {start} with {tasks} (Devlin et al. 2019).",
        data={"corpus": corpus.name, "contents": contents, "held out": held_out},
        training={
            **_training(options.training),
            "sequences a step": options.batch_size,
            "tokens of the longest sequence": options.stages.long_seq_length or options.instances.seq_length,
            "share of tokens to predict": options.masking.select_rate,
            "initial weights": options.initial_weights if options.initial_model is None else start,
            **_optimizer(options.training.optimizer),
        },
        results=results,
    )


def finetuning_card(
    options: FinetuneOptions,
    training: TrainingOptions,
    *,
    task: str,
    epochs: int,
    initial_model: Path,
    examples: Mapping[str, int],
    results: Mapping[str, Mapping[str, float]],
) -> ModelCard:
    """`examples` counts those of each part, `results` has the figures of those that were measured."""
    start = "random weights" if options.from_random else initial_model.name
    return ModelCard(
        title=f"A BERT fine-tuned on {task}",
        summary=f"Fine-tuned by bertkit from {start}; the weights are those of the best evaluation.",
        data={"task": task, **{f"{part} examples": count for part, count in examples.items()}},
        training={
            **_training(training),
            "epochs": epochs,
            "examples a step": options.batch_size,
            **_unusual(options),
            **_optimizer(options.optimizer),
        },
        results=results,
    )


def _unusual(options: FinetuneOptions) -> dict[str, Figure]:
    """What was chosen of what is off by default."""
    usual = FinetuneOptions()
    return {
        name.replace("_", " "): ", ".join(value) if isinstance(value, tuple) else value
        for name in _OFF_BY_DEFAULT
        if (value := getattr(options, name)) != getattr(usual, name)
    }


def _training(training: TrainingOptions) -> dict[str, Figure]:
    # No time that was used: the same run gives the same folder.
    if training.steps is not None:
        return {"steps": training.steps, "seed": training.seed}
    assert training.budget_seconds is not None
    return {"budget": format_duration(training.budget_seconds), "seed": training.seed}


def _optimizer(options: OptimizerOptions) -> dict[str, Figure]:
    return {name.replace("_", " "): value for name, value in asdict(options).items()}
