"""The task that a model folder was fine-tuned on, read without its weights and without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bertkit.core.errors import InputError
from bertkit.core.records import from_json
from bertkit.pretrained.folder import TASK_FILE, ModelFolder
from bertkit.tasks.contract import Length, Task
from bertkit.tasks.kinds import KINDS, task_family


@dataclass(frozen=True)
class _Described:
    """What a `task.json` says of every kind."""

    kind: str
    max_length: Length


_WITHOUT_TASK = ("BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForNextSentencePrediction")


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
        kind = from_json(_Described, description, known_only=False).kind
        if kind not in KINDS:  # which a program may have added to
            raise InputError(f"kind is {kind!r}, not one of {', '.join(KINDS)}")
        task: Task[Any] = task_family(kind).restore(description, folder.labels)
    except InputError as error:
        raise InputError(f"{folder.path / TASK_FILE} is not what bertkit wrote ({error}): fine-tune again") from None
    return task


def _kind(folder: ModelFolder) -> str | None:
    """The kind that `task.json` names, else the first, that has the folder's head; None where no kind has it."""
    if folder.architecture in _WITHOUT_TASK:
        return None
    named = folder.task.get("kind") if isinstance(folder.task, dict) else None
    for kind in sorted(KINDS, key=lambda kind: kind != named):  # the right one first: each is a module to import
        family = task_family(kind)
        if (family.architecture, family.problem_type) == (folder.architecture, folder.problem_type):
            return kind
    return None
