"""A benchmark as the hub of the `datasets` library has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bertkit.foundation.errors import InputError
from bertkit.tasks.columns import Columns
from bertkit.tasks.contract import Task
from bertkit.tasks.examples import Examples
from bertkit.tasks.labelled_examples import LabelledExamples


@dataclass(frozen=True, kw_only=True)
class HubLayout:
    """Name, columns and splits of the data set, and what its label numbers mean."""

    name: str
    """`owner/name:configuration`."""
    columns: Columns
    splits: Mapping[str, str] = field(default_factory=lambda: {"train": "train", "dev": "validation", "test": "test"})
    """The hub's name of each split."""
    classes: tuple[str, ...] = ()
    """Names of the labels 0, 1, …, as the benchmark's files have them; none where these are numbers, too."""

    @property
    def dataset(self) -> str:
        """`owner/name`."""
        return self.name.partition(":")[0]

    def read(self, family: type[Task[Any]], split: str, *, labelled: bool) -> Examples:
        """Read one split; labels become the names that the files have."""
        examples: Examples = family.read(self.name, self.columns, split=self.splits[split], labelled=labelled)
        if not labelled or not self.classes:
            return examples
        assert isinstance(examples, LabelledExamples)
        return replace(
            examples,
            labels=tuple(self._class(label, examples.place(index)) for index, label in enumerate(examples.labels)),
        )

    def _class(self, label: object, place: str) -> str:
        if not isinstance(label, int) or not 0 <= label < len(self.classes):
            raise InputError(f"{place}: label {label!r} is none of 0 to {len(self.classes) - 1}: check the data set")
        return self.classes[label]
