"""Options that would have no effect: refused, for whoever gives one expects something of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bertkit.foundation.errors import InputError

if TYPE_CHECKING:
    from bertkit.tasks.contract import Task


def refuse_given(reason: str, options: Mapping[str, object]) -> None:
    """Raise `InputError` with the reason and the names of the options that are not None, if there are any."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if given:
        raise InputError(f"{reason}: leave {', '.join(given)} out")


def refuse_columns(task: Task[Any] | type[Task[Any]], columns: Mapping[str, object]) -> None:
    """Raise `InputError` for columns given that tasks of this kind do not have."""
    strange = {name: value for name, value in columns.items() if name not in task.known_columns}
    refuse_given(f"{task.kind} has no such column", strange)
