"""Fine-tuning, from a model folder and labelled examples to a model folder with a task."""
# N examples.

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bertkit.foundation.console import note
from bertkit.foundation.devices import default_device, resolve_precision, tune_allocator
from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_folder, exclusive, read_json, sha256, write_json
from bertkit.model.config import BertConfig
from bertkit.model.folder import ModelFolder
from bertkit.model.stored_weights import weight_parts
from bertkit.recipes.cards import finetuning_card
from bertkit.recipes.finetune_loader import FinetuneLoader
from bertkit.recipes.finetune_model import check_layers, starting_model
from bertkit.recipes.finetune_objective import FinetuneObjective
from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.recipes.finetune_result import FinetuneResult, SeedResult
from bertkit.tasks.contract import Task
from bertkit.tasks.evaluation import evaluate, tune
from bertkit.tasks.folder import save_task_model
from bertkit.tasks.hold_out import hold_out
from bertkit.tasks.instances import TaskInstances
from bertkit.tasks.model import TaskModel
from bertkit.tasks.task_data import TaskData
from bertkit.text.tokenizer import Tokenizer
from bertkit.training.layer_paces import layer_paces
from bertkit.training.loop import train
from bertkit.training.options import TrainingOptions
from bertkit.training.run_config import settle_config

_SEED_RESULT = "result.json"


def finetune(
    model: Path, data: TaskData, out: Path, options: FinetuneOptions, *, resume: bool | None = None
) -> FinetuneResult:
    """Fine-tune the encoder in the folder `model` once a seed and write the best seed's to `out/model`.

    `resume` None goes on with a run of the same options in `out` (more seeds than before are added to those that are
    done), True insists on one, False starts over.
    """
    tune_allocator()
    setup = _Setup.of(model, data, options)
    with exclusive(out):
        settle_config(out, setup.config(), resume)
        note(setup.describe())
        for remark in setup.remarks():
            note(remark)
        seeds = range(options.seed, options.seed + options.seeds)
        results = tuple(setup.run_seed(seed, _seed_folder(out, seed)) for seed in seeds)
        result = FinetuneResult(
            name=data.name, model=out / "model", dev=setup.dev_name, select_by=setup.select_by, seeds=results
        )
        with atomic_folder(result.model) as folder:
            shutil.copytree(_seed_folder(out, result.best.seed) / "model", folder, dirs_exist_ok=True)
        write_json(out / "results.json", result.to_json())
    return result


def _seed_folder(out: Path, seed: int) -> Path:
    return out / f"seed-{seed}"


@dataclass(frozen=True)
class _Setup:
    """What all seeds share; made, and so checked, before anything is written."""

    folder: ModelFolder
    config_of_model: BertConfig
    tokenizer: Tokenizer
    data: TaskData
    task: Task[Any]
    options: FinetuneOptions
    dev_name: str
    select_by: str
    train: TaskInstances[Any]
    dev: TaskInstances[Any]
    test: TaskInstances[Any] | None
    device: torch.device

    @classmethod
    def of(cls, model: Path, data: TaskData, options: FinetuneOptions) -> _Setup:
        folder = ModelFolder.open(model)
        tokenizer = Tokenizer.from_pretrained(model)
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
        parts = [None if part is None else task.encode(part, tokenizer) for part in (train, dev, data.test)]
        assert parts[0] is not None
        assert parts[1] is not None
        _check_model(folder, tokenizer, parts[0])
        device = default_device()
        return cls(
            folder, config, tokenizer, data, task, options, dev_name, select_by, parts[0], parts[1], parts[2], device
        )

    def config(self) -> dict[str, Any]:
        """All that decides a seed's result; how many seeds there are does not."""
        options = asdict(self.options)
        del options["seeds"]
        return {
            "model": self.folder.path.resolve(),
            "weights": [sha256(part) for part in weight_parts(self.folder.weights)],
            "task": {"name": self.data.name, **self.task.description(), "labels": self.task.labels},
            "data": _fingerprint(self.train, self.dev, self.test),
            **options,
        }

    def describe(self) -> str:
        train = self.train
        several = "" if len(train) == len(train.examples) else f" in {len(train):,} windows"
        sizes = f"{len(train.examples):,} training{several} and {len(self.dev.examples):,} dev examples"
        cut = sum(train.lengths == self.task.max_length) / len(train.sequences)
        return (
            f"{self.data.name}: {self.task.summary}, {sizes} ({self.dev_name}), {cut:.1%} of the sequences at "
            f"max_length {self.task.max_length}, {'random weights' if self.options.from_random else self.folder.path}, "
            f"{resolve_precision(self.options.precision, self.device)} on {self.device.type}"
        )

    def remarks(self) -> list[str]:
        """What was odd in the data, by part; what was held out has been read with the rest."""
        named: dict[str, str] = {}
        for name, part in self.parts().items():
            for text in part.all_remarks:
                named.setdefault(text, name)
        return [f"{name}: {text}" for text, name in named.items()]

    def parts(self) -> dict[str, TaskInstances[Any]]:
        """Those that there are."""
        parts = {"train": self.train, "dev": self.dev, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}

    def run_seed(self, seed: int, run: Path) -> SeedResult:
        """Train one seed, or read its result where it is done."""
        if (run / _SEED_RESULT).is_file():
            return SeedResult(**read_json(run / _SEED_RESULT))
        options = self.options
        model = starting_model(self.folder, self.config_of_model, self.task, options, seed).to(self.device)
        loader = FinetuneLoader(
            self.train,
            batch_size=options.batch_size,
            micro_batch_tokens=options.micro_batch_tokens,
            seed=seed,
            device=self.device,
        )
        every = max(1, loader.steps_per_epoch // options.evaluations_per_epoch)
        training = TrainingOptions(
            steps=options.epochs * loader.steps_per_epoch,
            optimizer=options.optimizer,
            seed=seed,
            precision=options.precision,
            log_every=options.log_every,
            evaluate_every=every,
            checkpoint_every=every,
            select_by=self.select_by,
        )
        trained = train(
            FinetuneObjective(model, self.task),
            loader.batches,
            training,
            run,
            evaluate=lambda: self.evaluate(model, self.task, self.dev),
            paces=layer_paces(model, model.bert, decay=options.layer_decay),
            description=f"seed {seed}",
        )
        task = tune(model, self.task, self.dev, max_tokens=options.micro_batch_tokens, precision=options.precision)
        test = None if self.test is None else self.evaluate(model, task, self.test)
        card = finetuning_card(
            options,
            training,
            task=self.data.name,
            initial_model=self.folder.path,
            examples={name: len(part.examples) for name, part in self.parts().items()},
            results={"dev": trained.best} | ({} if test is None else {"test": test}),
        )
        save_task_model(run / "model", model, task, self.tokenizer, card)
        result = SeedResult(seed=seed, dev=trained.best, test=test, seconds=trained.seconds)
        write_json(run / _SEED_RESULT, asdict(result))
        shutil.rmtree(run / "checkpoints")
        return result

    def evaluate(self, model: TaskModel, task: Task[Any], part: TaskInstances[Any]) -> Mapping[str, float]:
        options = self.options
        return evaluate(model, task, part, max_tokens=options.micro_batch_tokens, precision=options.precision)


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
            f"they do not belong together"
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
