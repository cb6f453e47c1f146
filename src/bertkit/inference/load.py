"""From a model folder to a `Predictor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bertkit.core.devices import default_device
from bertkit.core.machine import InferencePrecision, tune_allocator
from bertkit.inference.backends.torch_packed import TorchPacked
from bertkit.inference.engine import Engine
from bertkit.inference.loaded_model import LoadedModel
from bertkit.inference.predictor import Predictor
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.models import BertWithHeads
from bertkit.tasks.contract import Task
from bertkit.tasks.model import TaskModel, load_task_model
from bertkit.tasks.task_folder import has_task
from bertkit.text.tokenizer import Tokenizer


def load(
    path: str | Path,
    *,
    precision: InferencePrecision = "float32",
    device: str | torch.device | None = None,
    keep_freed_memory: bool = True,
) -> Predictor:
    """Load a folder, or a hub name where there is a network, in Hugging Face's format.

    `precision` "bf16" holds the weights in bf16, which halves memory and, where the device multiplies it in hardware,
    time; "auto" takes it there. "int8" holds the encoder's matrices in int8 and multiplies integers, on a CPU: those of
    a folder that `quantize` wrote, for which "auto" means int8 too, or the model's matrices quantized now. `device`
    None is the first CUDA device, else the CPU. On the CPU, with `keep_freed_memory`, the C library keeps what this
    process frees for what it takes next, instead of handing it back to the system after every batch, which costs a
    third of the time. Raises `InputError`.
    """
    folder = ModelFolder.open(path)
    place = default_device() if device is None else torch.device(device)
    if keep_freed_memory and place.type == "cpu":
        tune_allocator()
    tokenizer = Tokenizer.from_pretrained(folder.path)

    task: Task[Any] | None = None
    module: TaskModel | BertWithHeads
    if has_task(folder):
        module, task = load_task_model(folder)
    else:
        module, report = BertWithHeads.from_folder(folder)
        report.show()

    return Predictor(
        LoadedModel(
            folder=folder,
            tokenizer=tokenizer,
            engine=Engine(TorchPacked.frozen(module, place, precision, folder.int8_weights())),
            task=task,
        )
    )
