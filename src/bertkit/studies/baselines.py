"""Fine-tuning on a given set of labelled examples, without a dev set."""
# N examples, C classes.

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bertkit.foundation.devices import default_device
from bertkit.model.folder import ModelFolder
from bertkit.model.initialization import initialize
from bertkit.recipes.finetune_loader import FinetuneLoader
from bertkit.recipes.finetune_objective import FinetuneObjective
from bertkit.tasks.classification import Classification, classes_of
from bertkit.tasks.contract import Task
from bertkit.tasks.evaluation import compute_logits
from bertkit.tasks.folder import new_task_model, save_task_model
from bertkit.tasks.instances import TaskInstances
from bertkit.tasks.labelled_examples import LabelledExamples
from bertkit.text.encoded_example import EncodedExample
from bertkit.text.tokenizer import Tokenizer
from bertkit.training.loop import train
from bertkit.training.options import OptimizerOptions, TrainingOptions

_MICRO_BATCH_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class FewLabelOptions:
    """How long and how fast; the weights after the last step count, for a dev set would cost labels."""

    epochs: int = 4
    min_steps: int = 150
    """A small set is gone through until so many updates are done."""
    batch_size: int = 32
    learning_rate: float = 5e-4
    warmup_share: float = 0.1

    def steps(self, num_examples: int) -> int:
        """Updates on so many examples."""
        return max(self.min_steps, self.epochs * math.ceil(num_examples / self.batch_size))


def finetuned_predictions(
    sample: LabelledExamples,
    unseen: Sequence[str],
    seed: int,
    *,
    model: Path,
    options: FewLabelOptions,
    max_length: int,
    from_random: bool,
    run: Path,
    save_to: Path | None = None,
) -> list[str]:
    """Labels of `unseen` by a network fine-tuned on `sample`; the classes are the sample's."""
    tokenizer = Tokenizer.from_pretrained(model)
    task = Classification(classes=classes_of(sample.labels, sample.place), max_length=max_length)
    logits = finetune_few_labels(
        model,
        task,
        task.encode(sample, tokenizer),
        tokenizer.encode_batch(unseen, max_length=max_length),
        options,
        from_random=from_random,
        seed=seed,
        run=run,
        save_to=save_to,
    )
    return [task.classes[place] for place in logits.argmax(-1).tolist()]


def finetune_few_labels(
    model: Path,
    task: Task[Any],
    examples: TaskInstances[Any],
    unseen: Sequence[EncodedExample],
    options: FewLabelOptions,
    *,
    from_random: bool,
    seed: int,
    run: Path,
    save_to: Path | None = None,
) -> Tensor:
    """Train on N instances and return the logits of `unseen` (its length, C).

    With `from_random` only the sizes of the folder `model` are taken. `run` is a folder for the loop's own files and is
    removed in the end, and before if a killed run left it; `save_to` keeps the model.
    """
    shutil.rmtree(run, ignore_errors=True)
    folder, device = ModelFolder.open(model), default_device()
    network = new_task_model(task, folder.config)
    initialize(network, folder.config.initializer_range, seed)
    if not from_random:
        folder.load_into(nn.ModuleDict({"bert": network.bert}))
    network.to(device)
    loader = FinetuneLoader(
        examples,
        batch_size=options.batch_size,
        micro_batch_tokens=_MICRO_BATCH_TOKENS,
        seed=seed,
        device=device,
    )
    steps = options.steps(len(examples))
    optimizer = OptimizerOptions(
        learning_rate=options.learning_rate, warmup_share=options.warmup_share, bias_correction=True
    )
    training = TrainingOptions(steps=steps, optimizer=optimizer, seed=seed, log_every=steps, checkpoint_every=steps)
    train(FinetuneObjective(network, task), loader.batches, training, run, description=run.name)
    logits = compute_logits(network, unseen, max_tokens=_MICRO_BATCH_TOKENS, precision=training.precision)
    if save_to is not None:
        save_task_model(save_to, network, task, Tokenizer.from_pretrained(model))
    shutil.rmtree(run)
    return logits
