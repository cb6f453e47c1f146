"""What all seeds of a fine-tuning share."""
# N examples.

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from bertkit.foundation.devices import default_device, resolve_micro_batch_tokens, resolve_precision
from bertkit.foundation.errors import InputError
from bertkit.foundation.files import sha256
from bertkit.model.config import BertConfig
from bertkit.model.folder import ModelFolder
from bertkit.model.hub import find_folder
from bertkit.model.stored_weights import weight_parts
from bertkit.recipes.finetune_loss import loss_shape
from bertkit.recipes.finetune_model import check_layers, check_weights
from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.tasks.contract import Task
from bertkit.tasks.hold_out import hold_out
from bertkit.tasks.instances import TaskInstances
from bertkit.tasks.loss_shape import LossShape
from bertkit.tasks.tag_windows import IGNORED
from bertkit.tasks.task_data import TaskData
from bertkit.text.tokenizer import Tokenizer
from bertkit.training.joining_epochs import joining_epochs

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
        options = replace(options, micro_batch_tokens=resolve_micro_batch_tokens(options.micro_batch_tokens, device))
        folder = ModelFolder.open(find_folder(model))
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
        return self.task.chance(self.dev)[self.select_by]

    @cached_property
    def dev_tells(self) -> bool:
        """Whether dev can tell that a seed has failed: predictions that are all right are better than chance there."""
        return self.task.perfect(self.dev)[self.select_by] > self.chance

    def first_steps(self) -> list[int] | None:
        """When the layers from the top down and the embeddings begin to learn; those drawn anew do so at once."""
        if not self.options.gradual_unfreezing:
            return None
        new = self.options.reinitialize_layers
        epochs = joining_epochs(self.model_config.num_hidden_layers + 1 - new, self.epochs)
        return [0] * new + [epoch * self.steps_per_epoch for epoch in epochs]

    def config(self) -> dict[str, Any]:
        """All that decides a seed's result; how many seeds there are does not, nor how many at a time."""
        options = asdict(self.options) | {"epochs": self.epochs}
        del options["seeds"], options["parallel_seeds"]
        return {
            "model": self.folder.path.resolve(),
            "weights": [sha256(part) for part in weight_parts(self.folder.weights)],
            "task": {"name": self.name, **self.task.description(), "labels": self.task.labels},
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
            start += f" with its last {options.reinitialize_layers} layers and its pooler drawn anew"
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        return (
            f"{self.name}: {self.task.summary}, {sizes} ({self.dev_name}), {cut:.1%} of the sequences at "
            f"max_length {self.task.max_length}, {epochs} of {self.steps_per_epoch:,} steps, {start}, "
            f"{resolve_precision(options.precision, self.device)} on {self.device.type}"
        )

    def remarks(self) -> list[str]:
        """What was odd in the data, by part; what was held out has been read with the rest."""
        named: dict[str, str] = {}
        for name, part in self.parts().items():
            for text in part.all_remarks:
                named.setdefault(text, name)
        remarks = [f"{name}: {text}" for text, name in named.items()]
        if not self.dev_tells:
            remarks.append(f"dev cannot tell whether a seed has failed: {self._dev_lack()}")
        return remarks

    def _dev_lack(self) -> str:
        count = len(self.dev.examples)
        if count < _FEWEST_EXAMPLES:
            return "it has 1 example" if count == 1 else f"it has {count} examples"
        assert self.dev.targets is not None
        if len(set(self.dev.targets[self.dev.targets != IGNORED].tolist())) == 1:
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
