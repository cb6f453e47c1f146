"""A task's model as a folder: Hugging Face's files, and `task.json` for what these have no place for."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_folder, read_json, write_json
from bertkit.model.bert import BertModel
from bertkit.model.folder import ModelFolder, write_model_folder
from bertkit.tasks.classification import Classification
from bertkit.tasks.columns import Columns
from bertkit.tasks.contract import Task
from bertkit.tasks.model import TaskModel
from bertkit.tasks.regression import Regression
from bertkit.text.tokenizer import Tokenizer

TASK_FILE = "task.json"
_FAMILIES: dict[str, type[Task]] = {family.kind: family for family in (Classification, Regression)}


def save_task_model(folder: Path, model: TaskModel, task: Task, tokenizer: Tokenizer) -> None:
    """Write all that prediction needs, whole or not at all; `AutoModelForSequenceClassification` reads it too."""
    with atomic_folder(folder) as temporary:
        write_model_folder(
            temporary,
            model,
            model.bert.config,
            architecture=task.architecture,
            labels=task.labels,
            regression=task.labels is None,
        )
        tokenizer.save_pretrained(temporary)
        write_json(temporary / TASK_FILE, task.description())


def load_task(folder: str | Path) -> Task:
    """Read a fine-tuned folder's task; one without `task.json` is described by its `config.json` alone.

    Raises `InputError` where the folder holds no model with a task.
    """
    opened = ModelFolder.open(folder)
    if opened.labels is None and not opened.regression:
        raise InputError(f"{folder} holds {opened.architecture}, which has no task: fine-tune it first")
    description: dict[str, Any] = {"max_length": opened.config.max_position_embeddings}
    if (opened.path / TASK_FILE).is_file():
        description = read_json(opened.path / TASK_FILE)
    kind = description.get("kind", Regression.kind if opened.regression else Classification.kind)
    try:
        family = _FAMILIES[kind]
        options: dict[str, Any] = {"max_length": description["max_length"], "benchmark": description.get("benchmark")}
        if "metrics" in description:
            options["metric_names"] = tuple(description["metrics"])
        if "columns" in description:
            options["columns"] = Columns(**description["columns"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{opened.path / TASK_FILE} is not what bertkit wrote ({error}): fine-tune again") from None
    if "classes" in {field.name for field in fields(family)}:
        options["classes"] = opened.labels
    return family(**options)


def load_task_model(folder: str | Path) -> tuple[TaskModel, Task]:
    """Load a fine-tuned model, in evaluation mode, with its task."""
    task = load_task(folder)
    opened = ModelFolder.open(folder)
    model = TaskModel(BertModel(opened.config), task.head(opened.config))
    opened.load_into(model)
    return model.eval(), task
