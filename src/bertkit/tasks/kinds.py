"""The table of the kinds of task: a kind is a file, and a line here.

Alone, since the command line shows the names at `--help`, before torch is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from bertkit.tasks.contract import Task

KINDS = {
    "classification": "bertkit.tasks.classification:Classification",
    "multi-label": "bertkit.tasks.multi_label:MultiLabel",
    "regression": "bertkit.tasks.regression:Regression",
    "span-extraction": "bertkit.tasks.questions.task:SpanExtraction",
    "multiple-choice": "bertkit.tasks.choice:MultipleChoice",
    "tagging": "bertkit.tasks.tagging.task:Tagging",
}
"""A kind's name and its class. A folder without `task.json` is of the first kind with its class
and problem type."""

if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[tuple(KINDS)]


def task_family(kind: str) -> type[Task[Any]]:
    """The class of a kind, imported now; `KeyError` for a name that is not in the table."""
    module, _, name = KINDS[kind].partition(":")
    family: type[Task[Any]] = getattr(import_module(module), name)
    return family
