"""The model that a fine-tuning starts from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bertkit.foundation.errors import InputError
from bertkit.model.bert import BertModel
from bertkit.model.config import BertConfig
from bertkit.model.folder import ModelFolder
from bertkit.model.initialization import initialize
from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.tasks.contract import Task
from bertkit.tasks.folder import new_task_model
from bertkit.tasks.model import TaskModel
from bertkit.training.freezing import freeze

_POOLER, _TRANSFORM = "bert.pooler.", "head.transform."
_MAY_LACK = (_POOLER, _TRANSFORM)


def starting_model(
    folder: ModelFolder, config: BertConfig, task: Task[Any], options: FinetuneOptions, seed: int
) -> TaskModel:
    """The encoder in `folder` with a new head; what is drawn depends on the seed alone.

    `options.reinitialize_layers` takes that many layers from the top, and the pooler, from the draws in place of the
    folder (Zhang et al. 2021, section 5): their weights are those of `from_random`.
    """
    model = new_task_model(task, config)
    initialize(model, config.initializer_range, seed)
    if not options.from_random:
        drawn = _top_weights(model, options.reinitialize_layers)
        folder.load_into(_pretrained(model), may_lack=_MAY_LACK).show()
        model.load_state_dict(drawn, strict=False)
    freeze(model.bert, options.freeze)
    return model


def check_weights(folder: ModelFolder, config: BertConfig, task: Task[Any]) -> None:
    """Raise `InputError` where the weights in `folder` are broken or not those of its configuration."""
    with torch.device("meta"):
        model = new_task_model(task, config)
    folder.weights_for(_pretrained(model), may_lack=_MAY_LACK)


def check_layers(config: BertConfig, options: FinetuneOptions) -> None:
    """Raise `InputError` for layers to freeze or to draw anew that do not fit the model or one another."""
    with torch.device("meta"):
        bert = BertModel(config)
    freeze(bert, options.freeze)
    count, layers = options.reinitialize_layers, len(bert.layers)
    if count > layers:
        raise InputError(f"reinitialize_layers {count} is over the model's {layers} layers: lower it to at most that")
    frozen = [place for place, layer in enumerate(bert.layers) if not next(layer.parameters()).requires_grad]
    if frozen and frozen[-1] >= layers - count:
        raise InputError(
            f"layer {frozen[-1]} is frozen and drawn anew, so that it would stay random: lower "
            f"reinitialize_layers {count} or freeze less"
        )


def _pretrained(model: TaskModel) -> nn.ModuleDict:
    """What does not start as it was drawn."""
    parts: dict[str, nn.Module] = {"bert": model.bert}
    if isinstance(transform := getattr(model.head, "transform", None), nn.Module):
        parts["head"] = nn.ModuleDict({"transform": transform})  # a masked LM's is where ModernBERT's tasks start
    return nn.ModuleDict(parts)


def _top_weights(model: TaskModel, layers: int) -> dict[str, Tensor]:
    """Copies of the last `layers` layers' weights and of what stands between them and the head; none for no layers."""
    first = len(model.bert.layers) - layers
    last = tuple(f"bert.layers.{place}." for place in range(first, len(model.bert.layers)))
    prefixes = (*last, "bert.final_norm.", _POOLER, _TRANSFORM)
    weights = model.state_dict() if layers else {}
    return {name: tensor.clone() for name, tensor in weights.items() if name.startswith(prefixes)}
