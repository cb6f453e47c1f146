"""The task that a model folder was fine-tuned on, read without its weights and without torch."""

from __future__ import annotations

from typing import Any

from bertkit.core.errors import InputError
from bertkit.pretrained.folder import TASK_FILE, ModelFolder
from bertkit.tasks.contract import Task
from bertkit.tasks.kinds import KINDS, task_family


def has_task(folder: ModelFolder) -> bool:
    """Whether the folder's weights have a task's head."""
    return _kind(folder) is not None


def load_task(folder: ModelFolder) -> Task[Any]:
    """Read a fine-tuned folder's task; one without `task.json` is described by its `config.json` alone.

    Raises `InputError` where the folder holds no model with a task.
    """
    if not has_task(folder):
        raise InputError(f"{folder.path} holds {folder.description.class_name}, which has no task: fine-tune it first")
    description = folder.task
    if description is None:
        description = {"kind": _kind(folder), "max_length": folder.config.max_length}
    try:
        task: Task[Any] = task_family(description["kind"]).restore(description, folder.labels)
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder.path / TASK_FILE} is not what bertkit wrote ({error}): fine-tune again") from None
    return task


def _kind(folder: ModelFolder) -> str | None:
    """The first kind with the folder's head, None where no kind has it."""
    for kind in KINDS:
        family = task_family(kind)
        if (family.architecture, family.problem_type) == (folder.architecture, folder.problem_type):
            return kind
    return None
