"""The options of pre-training from a size, a recipe and what differs, by the names of the command line."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from bertkit.core.arguments import checked
from bertkit.core.console import parse_duration
from bertkit.core.errors import InputError
from bertkit.core.yaml_files import read_yaml
from bertkit.data.instances.options import InstanceOptions, MaskingOptions, StageOptions
from bertkit.model.config import MODERN_PRESETS, PRESETS, BertConfig
from bertkit.recipes.options import PretrainOptions
from bertkit.recipes.presets import RecipeName, recipe_file
from bertkit.training.options import OptimizerOptions, TrainingOptions

Architecture = Literal["bert", "modern"]
Size = Literal["tiny", "mini", "small", "medium", "base", "large"]

_FIELDS = {"nsp": "next_sentence", "nsp_weight": "next_sentence_weight", "budget": "budget_seconds"}
"""Fields that a short name stands for."""
_MODEL_FIELDS = {
    "hidden_dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "max_position_embeddings": "max_position_embeddings",
    "initializer_range": "initializer_range",
}
_USUAL = {"spike_deviations": 6.0}
"""What pre-training has where the options of training in general have something else."""


@checked
def pretrain_options(
    size: Size = "base",
    *,
    recipe: RecipeName | None = None,
    architecture: Architecture | None = None,
    **changes: Any,
) -> PretrainOptions:
    """All options of pre-training from a size, a recipe and what differs, by the names of `bertkit pretrain`.

    For example `pretrain_options("tiny", recipe="budget", budget="30m", seq_length=64)`. What is given comes before the
    recipe's. The names are the fields of `PretrainOptions`, `TrainingOptions`, `OptimizerOptions`, `InstanceOptions`,
    `MaskingOptions` and `StageOptions`, and `nsp`, `nsp_weight`, `budget` (such as "1h30m"), `hidden_dropout`,
    `attention_dropout`, `max_position_embeddings` and `initializer_range`. With `initial_model` the sizes are those of
    its folder. Raises `InputError`.
    """
    given = {} if recipe is None else _read_recipe(recipe)
    given = _USUAL | given | ({} if architecture is None else {"architecture": architecture}) | changes
    model = _model(size, given.pop("architecture", "bert"), given.get("initial_model"))
    of_model = {field: given.pop(name, None) for name, field in _MODEL_FIELDS.items()}
    given = {_FIELDS.get(name, name): value for name, value in given.items()}
    if isinstance(budget := given.get("budget_seconds"), str):
        given["budget_seconds"] = parse_duration(budget)
    given["held_out"] = tuple(map(Path, given.get("held_out") or ()))
    optimizer = OptimizerOptions(**_taken(given, OptimizerOptions))
    options = PretrainOptions(
        model=replace(model, **{field: value for field, value in of_model.items() if value is not None}),
        training=TrainingOptions(optimizer=optimizer, **_taken(given, TrainingOptions)),
        instances=InstanceOptions(**_taken(given, InstanceOptions)),
        masking=MaskingOptions(**_taken(given, MaskingOptions)),
        stages=StageOptions(**_taken(given, StageOptions)),
        **_taken(given, PretrainOptions),
    )
    if given:
        raise InputError(f"pre-training has no option {min(given)}: `bertkit pretrain --help` lists all")
    return options


def _read_recipe(name: str) -> dict[str, Any]:
    if name not in get_args(RecipeName):
        raise InputError(f"recipe {name!r} is unknown: use one of {', '.join(get_args(RecipeName))}")
    return read_yaml(recipe_file(name), "install bertkit again")


def _taken(given: dict[str, Any], kind: type[Any]) -> dict[str, Any]:
    """The options that are fields of `kind`, taken out of `given`."""
    return {field.name: given.pop(field.name) for field in fields(kind) if field.name in given}


def _model(size: Size, architecture: Architecture, folder: str | Path | None) -> BertConfig:
    presets = MODERN_PRESETS if architecture == "modern" else PRESETS
    if size not in presets:
        raise InputError(f"size {size!r} is unknown: use one of {', '.join(presets)}")
    preset = presets[size]
    if folder is None:
        return preset
    from bertkit.pretrained.folder import ModelFolder  # noqa: PLC0415  # brings torch, which only this option needs

    model = ModelFolder.open(folder).config
    if architecture == "modern" and model.model_type != preset.model_type:
        raise InputError(
            f"{folder} is of type {model.model_type}, and --architecture modern or --recipe modern makes a "
            "ModernBERT: leave out the model, or say --architecture bert"
        )
    return model
