"""One seed of a fine-tuning."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bertkit.foundation.files import read_json, write_json
from bertkit.recipes.cards import finetuning_card
from bertkit.recipes.finetune_loader import FinetuneLoader
from bertkit.recipes.finetune_model import starting_model
from bertkit.recipes.finetune_objective import FinetuneObjective
from bertkit.recipes.finetune_result import SeedResult
from bertkit.recipes.finetune_setup import FinetuneSetup
from bertkit.tasks.contract import Task
from bertkit.tasks.evaluation import evaluate, tune
from bertkit.tasks.folder import save_task_model
from bertkit.tasks.instances import TaskInstances
from bertkit.tasks.model import TaskModel
from bertkit.training.layer_paces import layer_paces
from bertkit.training.loop import BEST_FILE, train
from bertkit.training.options import TrainingOptions

_RESULT = "result.json"


def seed_result(run: Path) -> SeedResult | None:
    """What a seed that is done has left in its folder."""
    return SeedResult(**read_json(run / _RESULT)) if (run / _RESULT).is_file() else None


def run_seed(setup: FinetuneSetup, seed: int, run: Path) -> SeedResult:
    """Train, measure and write `run/model`, going on where that was stopped; what only training needs is removed."""
    result = seed_result(run) or _train(setup, seed, run)
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    (run / BEST_FILE).unlink(missing_ok=True)
    return result


def _train(setup: FinetuneSetup, seed: int, run: Path) -> SeedResult:
    options = setup.options
    model = starting_model(setup.folder, setup.model_config, setup.task, options, seed).to(setup.device)
    loader = FinetuneLoader(
        setup.train,
        batch_size=options.batch_size,
        micro_batch_tokens=setup.micro_batch_tokens,
        seed=seed,
        device=setup.device,
    )
    every = max(1, loader.steps_per_epoch // options.evaluations_per_epoch)
    training = TrainingOptions(
        steps=setup.epochs * loader.steps_per_epoch,
        optimizer=options.optimizer,
        seed=seed,
        precision=options.precision,
        log_every=options.log_every,
        evaluate_every=every,
        checkpoint_every=every,
        select_by=setup.select_by,
        patience=options.patience,
    )
    trained = train(
        FinetuneObjective(model, setup.task, setup.loss_shape.to(setup.device)),
        loader.batches,
        training,
        run,
        evaluate=lambda: _evaluate_dev(setup, model),
        paces=layer_paces(model, model.bert, decay=options.layer_decay, first_steps=setup.first_steps()),
        description=f"seed {seed}",
    )
    task = tune(model, setup.task, setup.dev, max_tokens=setup.micro_batch_tokens, precision=options.precision)
    test = None if setup.test is None else _evaluate(setup, model, task, setup.test)
    card = finetuning_card(
        options,
        training,
        task=setup.name,
        epochs=setup.epochs,
        initial_model=setup.folder.path,
        examples={name: len(part.examples) for name, part in setup.parts().items()},
        results={"dev": trained.best} | ({} if test is None else {"test": test}),
    )
    save_task_model(run / "model", model, task, setup.tokenizer, card)
    result = SeedResult(
        seed=seed,
        dev=trained.best,
        test=test,
        seconds=trained.seconds,
        steps=trained.steps,
        failed=setup.dev_tells and trained.best[setup.select_by] <= setup.chance,
    )
    write_json(run / _RESULT, asdict(result))
    return result


def _evaluate_dev(setup: FinetuneSetup, model: TaskModel) -> Mapping[str, float]:
    """Figures on the dev set, and under names of their own those on further ones."""
    figures = dict(_evaluate(setup, model, setup.task, setup.dev))
    for name, part in setup.further_dev.items():
        further = _evaluate(setup, model, setup.task, part)
        figures |= {f"{figure}_{name}": value for figure, value in further.items()}
    return figures


def _evaluate(setup: FinetuneSetup, model: TaskModel, task: Task[Any], part: TaskInstances[Any]) -> Mapping[str, float]:
    return evaluate(model, task, part, max_tokens=setup.micro_batch_tokens, precision=setup.options.precision)
