"""The parts of a task as the encoder reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bertkit.foundation.errors import InputError
from bertkit.inference.loaded_model import LoadedModel
from bertkit.studies.feature_based.options import FeatureStudyOptions
from bertkit.tasks.classification import Classification
from bertkit.tasks.contract import Task
from bertkit.tasks.hold_out import hold_out
from bertkit.tasks.instances import TaskInstances
from bertkit.tasks.tagging import Tagging
from bertkit.tasks.task_data import TaskData

_DEV_SHARE = 0.1


@dataclass(frozen=True)
class StudyData:
    """A task, what it is trained and measured on, and what stands for dev, in words."""

    name: str
    task: Task[Any]
    parts: Mapping[str, TaskInstances[Any]]
    """train; dev, unless each seed holds out its own; test where there is one."""
    dev: str

    @classmethod
    def of(cls, data: TaskData, model: LoadedModel, options: FeatureStudyOptions) -> StudyData:
        """Read what the encoder shall read; raises `InputError` for kinds of tasks that this study does not know."""
        if not issubclass(data.family, Classification | Tagging):
            raise InputError(f"{data.name} is {data.family.kind}: features are studied on classification and tagging")
        if options.hold_out is not None and issubclass(data.family, Tagging):
            raise InputError("hold_out is for texts with labels: tags are measured on dev")
        longest = model.bert.config.max_length
        task = data.task(
            min(data.family.usual_max_length, longest)
            if options.max_length is None
            else model.longest(options.max_length)
        )
        train, dev, name = data.train, data.dev, "as given"
        if options.train_rows is not None:
            train = train.take(range(min(options.train_rows, len(train))))
        if options.hold_out is not None:
            dev, name = None, f"{options.hold_out:.0%} of the training texts, drawn anew for each seed"
        elif dev is None:
            train, dev = hold_out(train, task.strata(train), _DEV_SHARE, 0, task.groups(train))
            name = f"{len(dev):,} of the training examples"
        given = {"train": train, "dev": dev, "test": data.test}
        parts = {part: task.encode(found, model.tokenizer) for part, found in given.items() if found is not None}
        return cls(data.name, task, parts, name)

    @property
    def remarks(self) -> list[str]:
        """What was odd in the data, by part."""
        return [f"{name}: {text}" for name, part in self.parts.items() for text in part.all_remarks]
