"""The labelled splits of one task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertkit.tasks.classification import Classification
from bertkit.tasks.contract import Definition, Task
from bertkit.tasks.examples import Examples
from bertkit.tasks.options import Columns, TaskOptions


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """Training examples, and dev and test examples where there are labelled ones, all of one family."""

    name: str
    family: type[Task[Any]] = Classification
    train: Examples
    dev: Examples | None = None
    further_dev: Mapping[str, Examples] = field(default_factory=dict)
    """Dev sets by name that are measured whenever `dev` is; the weights are chosen without them."""
    test: Examples | None = None
    columns: Columns
    options: TaskOptions = field(default_factory=TaskOptions)
    metric_names: tuple[str, ...] | None = None
    """None takes the kind's own."""
    benchmark: str | None = None

    def __post_init__(self) -> None:
        self.options.check(self.family.kind, self.family.known_options)

    def task(self, max_length: int) -> Task[Any]:
        """The task that the training examples define."""
        given = Definition(
            max_length=max_length,
            columns=self.columns,
            options=self.options,
            metric_names=self.metric_names,
            benchmark=self.benchmark,
        )
        return self.family.define(self.train, given)


def read_task_data(
    train: str | Path,
    dev: str | Path | None = None,
    test: str | Path | None = None,
    *,
    family: type[Task[Any]] = Classification,
    columns: Columns | None = None,
    options: TaskOptions | None = None,
    metric_names: tuple[str, ...] | None = None,
) -> TaskData:
    """Read files of the same columns; of a hub data set the splits "train", "validation" and "test" are taken."""
    columns = family.usual_columns if columns is None else columns
    return TaskData(
        name=Path(train).name,
        family=family,
        train=family.read(train, columns),
        dev=None if dev is None else family.read(dev, columns, split="validation"),
        test=None if test is None else family.read(test, columns, split="test"),
        columns=columns,
        options=options or TaskOptions(),
        metric_names=metric_names,
    )
