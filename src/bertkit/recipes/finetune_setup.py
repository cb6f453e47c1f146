"""What all seeds of a fine-tuning run share, checked before anything is written, and the model they start from."""
# N examples.

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bertkit.core.devices import default_device, resolve_precision, token_budget
from bertkit.core.errors import InputError
from bertkit.core.files import sha256
from bertkit.model.config import BertConfig
from bertkit.model.encoder import Encoder
from bertkit.model.initialization import empty_weights, initialize
from bertkit.pretrained.folder import ModelFolder
from bertkit.recipes.options import FinetuneOptions
from bertkit.tasks.classification import class_weights
from bertkit.tasks.contract import IGNORED, LossShape, Task, TaskInstances
from bertkit.tasks.data import TaskData
from bertkit.tasks.examples import hold_out
from bertkit.tasks.model import TaskModel, new_task_model
from bertkit.text.tokenizer import Tokenizer
from bertkit.training.layerwise import freeze, joining_epochs


def loss_shape(task: Task[Any], train: TaskInstances[Any], options: FinetuneOptions) -> LossShape:
    """Label smoothing and class weights; raise `InputError` where they have no meaning."""
    for name in ("label_smoothing", "class_weights"):
        if getattr(options, name) and name not in task.known_loss_options:
            raise InputError(f"{name} has no meaning for {task.kind}: leave it out")
    if not options.class_weights:
        return LossShape(label_smoothing=options.label_smoothing)
    assert train.targets is not None
    assert task.classes is not None
    weights = class_weights(options.class_weights, task.classes, train.targets)
    return LossShape(label_smoothing=options.label_smoothing, class_weights=weights)


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
    with empty_weights():
        model = new_task_model(task, config)
    folder.weights_for(_pretrained(model), may_lack=_MAY_LACK)


def check_layers(config: BertConfig, options: FinetuneOptions) -> None:
    """Raise `InputError` for layers to freeze or to re-initialize that do not fit the model or one another."""
    with empty_weights():
        bert = Encoder(config)
    freeze(bert, options.freeze)
    count, layers = options.reinitialize_layers, len(bert.layers)
    if count > layers:
        raise InputError(f"reinitialize_layers {count} is over the model's {layers} layers: lower it to at most that")
    frozen = [place for place, layer in enumerate(bert.layers) if not next(layer.parameters()).requires_grad]
    if frozen and frozen[-1] >= layers - count:
        raise InputError(
            f"layer {frozen[-1]} is frozen and re-initialized, so that it would stay random: lower "
            f"reinitialize_layers {count} or freeze less"
        )


def _pretrained(model: TaskModel) -> nn.ModuleDict:
    """What does not start as it was drawn."""
    parts: dict[str, nn.Module] = {"bert": model.bert}
    if isinstance(transform := getattr(model.head, "transform", None), nn.Module):
        parts["head"] = nn.ModuleDict({"transform": transform})  # a masked LM's is where ModernBERT's tasks start
    return nn.ModuleDict(parts)


def _top_weights(model: TaskModel, layers: int) -> dict[str, Tensor]:
    """Copies of the last `layers` layers' weights and of what is between them and the head; none for no layers."""
    first = len(model.bert.layers) - layers
    last = tuple(f"bert.layers.{place}." for place in range(first, len(model.bert.layers)))
    prefixes = (*last, "bert.final_norm.", _POOLER, _TRANSFORM)
    weights = model.state_dict() if layers else {}
    return {name: tensor.clone() for name, tensor in weights.items() if name.startswith(prefixes)}


_FEWEST_EXAMPLES = 3
"""That a correlation says anything of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FinetuneSetup:
    """Model, data and options; made, and so checked, before anything is written."""

    folder: ModelFolder
    model_config: BertConfig
    tokenizer: Tokenizer
    name: str
    """Of the task."""
    task: Task[Any]
    options: FinetuneOptions
    loss_shape: LossShape
    dev_name: str
    """What the dev figures are measured on."""
    select_by: str
    train: TaskInstances[Any]
    dev: TaskInstances[Any]
    further_dev: Mapping[str, TaskInstances[Any]]
    """Measured with `dev`, by name."""
    test: TaskInstances[Any] | None
    device: torch.device

    @classmethod
    def of(cls, model: Path, data: TaskData, options: FinetuneOptions) -> FinetuneSetup:
        """Open the folder, encode the data; raise `InputError` for what does not fit."""
        device = default_device()
        options = replace(options, micro_batch_tokens=token_budget(device, "training", options.micro_batch_tokens))
        folder = ModelFolder.open(model)
        tokenizer = Tokenizer.from_pretrained(folder.path)
        task = data.task(_max_length(folder, data, options))
        select_by = options.select_by or task.metric_names[0]
        if select_by not in task.metric_names:
            raise InputError(f"select_by {select_by!r} is not measured here: use one of {', '.join(task.metric_names)}")
        train, dev, dev_name = data.train, data.dev, "as given"
        if dev is None:
            train, dev = hold_out(train, task.strata(train), options.dev_share, options.seed, task.groups(train))
            dev_name = f"{len(dev):,} of {len(data.train):,} training examples held out"
        dropout = {
            "hidden_dropout_prob": options.hidden_dropout,
            "attention_probs_dropout_prob": options.attention_dropout,
        }
        config = replace(folder.config, **{name: rate for name, rate in dropout.items() if rate is not None})  # type: ignore[arg-type]
        check_layers(config, options)
        if not options.from_random:
            check_weights(folder, config, task)
        parts = [None if part is None else task.encode(part, tokenizer) for part in (train, dev, data.test)]
        assert parts[0] is not None
        assert parts[1] is not None
        _check_model(folder, tokenizer, parts[0])
        setup = cls(
            folder=folder,
            model_config=config,
            tokenizer=tokenizer,
            name=data.name,
            task=task,
            options=options,
            loss_shape=loss_shape(task, parts[0], options),
            dev_name=dev_name,
            select_by=select_by,
            train=parts[0],
            dev=parts[1],
            further_dev={name: task.encode(part, tokenizer) for name, part in data.further_dev.items()},
            test=parts[2],
            device=device,
        )
        if options.gradual_unfreezing and setup.epochs == 1:
            raise InputError("gradual_unfreezing needs 2 epochs at least, there is 1: raise epochs")
        return setup

    @property
    def micro_batch_tokens(self) -> int:
        """Tokens that go through the model at once."""
        assert self.options.micro_batch_tokens is not None
        return self.options.micro_batch_tokens

    @property
    def steps_per_epoch(self) -> int:
        """Updates that an epoch has."""
        return -(-len(self.train) // self.options.batch_size)

    @property
    def epochs(self) -> int:
        """As asked for, or as many as a small training set needs."""
        return self.options.epochs_of(self.steps_per_epoch)

    @cached_property
    def chance(self) -> float:
        """The highest `select_by` on dev of predictions that do not depend on the texts."""
        return self.task.scorer.chance(self.dev)[self.select_by]

    @cached_property
    def dev_tells(self) -> bool:
        """Whether dev can tell that a seed has failed: predictions that are all right are better than chance there."""
        return self.task.scorer.perfect(self.dev)[self.select_by] > self.chance

    def first_steps(self) -> list[int] | None:
        """When the layers from the top down and the embeddings begin to learn; re-initialized ones do so at once."""
        if not self.options.gradual_unfreezing:
            return None
        new = self.options.reinitialize_layers
        epochs = joining_epochs(self.model_config.num_hidden_layers + 1 - new, self.epochs)
        return [0] * new + [epoch * self.steps_per_epoch for epoch in epochs]

    def config(self) -> dict[str, Any]:
        """All that decides a seed's result; how many seeds there are does not, nor how many at a time.

        The model's name is as it was given; it may change with the working folder, its weights may not.
        """
        options = asdict(self.options) | {"epochs": self.epochs}
        del options["seeds"], options["parallel_seeds"]
        return {
            "model": str(self.folder.path),
            "weights": [sha256(part) for part in self.folder.weight_files],
            "task": {"name": self.name, **self.task.description(), "labels": self.task.classes},
            "data": _fingerprint(self.train, self.dev, *self.further_dev.values(), self.test),
            **options,
        }

    def describe(self) -> str:
        """Sizes and places, in one line."""
        train, options = self.train, self.options
        several = "" if len(train) == len(train.examples) else f" in {len(train):,} windows"
        sizes = f"{len(train.examples):,} training{several} and {len(self.dev.examples):,} dev examples"
        cut = sum(train.lengths == self.task.max_length) / len(train.sequences)
        start = "random weights" if options.from_random else str(self.folder.path)
        if options.reinitialize_layers:
            start += f" with its last {options.reinitialize_layers} layers and its pooler re-initialized"
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        return (
            f"{self.name}: {self.task.summary}, {sizes} ({self.dev_name}), {cut:.1%} of the sequences at "
            f"max_length {self.task.max_length}, {epochs} of {self.steps_per_epoch:,} steps, {start}, "
            f"{resolve_precision(options.precision, self.device)} on {self.device.type}"
        )

    def warnings(self) -> list[str]:
        """What was odd in the data, by part; what was held out has been read with the rest."""
        named: dict[str, str] = {}
        for name, part in self.parts().items():
            for text in part.all_warnings:
                named.setdefault(text, name)
        warnings = [f"{name}: {text}" for text, name in named.items()]
        if not self.dev_tells:
            warnings.append(f"dev cannot tell whether a seed has failed: {self._dev_lack()}")
        return warnings

    def _dev_lack(self) -> str:
        count = len(self.dev.examples)
        if count < _FEWEST_EXAMPLES:
            return "it has 1 example" if count == 1 else f"it has {count} examples"
        assert self.dev.targets is not None
        counted = self.dev.targets[self.dev.targets != IGNORED] if self.dev.targets.ndim == 1 else self.dev.targets
        if len(np.unique(counted.numpy(), axis=0)) == 1:
            return "all its labels are the same"
        return f"{self.select_by} is as high for predictions that do not depend on the texts as for right ones"

    def parts(self) -> dict[str, TaskInstances[Any]]:
        """Those that there are."""
        further = {f"dev {name}": part for name, part in self.further_dev.items()}
        parts = {"train": self.train, "dev": self.dev, **further, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}


def _max_length(folder: ModelFolder, data: TaskData, options: FinetuneOptions) -> int:
    """Of the longest sequence: as asked for, else what is usual for the family, if the model can."""
    longest = folder.config.max_length
    if options.max_length is None:
        return min(data.family.usual_max_length, longest)
    if options.max_length > longest:
        raise InputError(
            f"max_length {options.max_length} is over the model's {longest} positions: lower it to at most that"
        )
    return options.max_length


def _check_model(folder: ModelFolder, tokenizer: Tokenizer, train: TaskInstances[Any]) -> None:
    config = folder.config
    if tokenizer.vocab_size > config.vocab_size:
        raise InputError(
            f"the tokenizer in {folder.path} has {tokenizer.vocab_size} entries, the model {config.vocab_size}: "
            f"they do not belong together: give the model its own tokenizer"
        )
    if config.type_vocab_size == 1 and any(sequence.token_type_ids[-1] for sequence in train.sequences):
        raise InputError(f"{folder.path} knows one segment and cannot read pairs of texts: take another model")


def _fingerprint(*parts: TaskInstances[Any] | None) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if part is not None:
            for sequence in part.sequences:
                digest.update(sequence.input_ids.tobytes())
            assert part.targets is not None
            digest.update(part.targets.numpy().tobytes())
    return digest.hexdigest()
