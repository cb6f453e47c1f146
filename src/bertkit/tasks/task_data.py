"""The labelled splits of one task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bertkit.tasks.classification import Classification, classes_of
from bertkit.tasks.columns import Columns
from bertkit.tasks.contract import Task
from bertkit.tasks.labelled_examples import LabelledExamples, read_examples
from bertkit.tasks.regression import Regression


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """Training examples, and dev and test examples where there are labelled ones."""

    name: str
    train: LabelledExamples
    dev: LabelledExamples | None = None
    test: LabelledExamples | None = None
    columns: Columns
    regression: bool = False
    metric_names: tuple[str, ...] | None = None
    """None takes the family's own."""
    benchmark: str | None = None

    def task(self, max_length: int) -> Task:
        """The task that the training examples define; its classes are those of the training labels."""
        task: Task
        if self.regression:
            task = Regression(
                max_length=max_length,
                metric_names=self.metric_names or Regression.metric_names,
                columns=self.columns,
                benchmark=self.benchmark,
            )
        else:
            task = Classification(
                classes=classes_of(self.train.labels, self.train.place),
                max_length=max_length,
                metric_names=self.metric_names or Classification.metric_names,
                columns=self.columns,
                benchmark=self.benchmark,
            )
        return task


def read_task_data(
    train: str | Path,
    dev: str | Path | None = None,
    test: str | Path | None = None,
    *,
    columns: Columns,
    regression: bool = False,
    metric_names: tuple[str, ...] | None = None,
) -> TaskData:
    """Read tables of the same columns; of a hub data set the splits "train", "validation" and "test" are taken."""
    return TaskData(
        name=Path(train).name,
        train=read_examples(train, columns),
        dev=None if dev is None else read_examples(dev, columns, split="validation"),
        test=None if test is None else read_examples(test, columns, split="test"),
        columns=columns,
        regression=regression,
        metric_names=metric_names,
    )
