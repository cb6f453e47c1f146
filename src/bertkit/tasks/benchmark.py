"""What a row of the table of benchmarks says: where files or the hub have texts and labels, and what is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bertkit.core.errors import InputError
from bertkit.data.readers.text import EncodingErrors
from bertkit.tasks.contract import Task
from bertkit.tasks.data import TaskData
from bertkit.tasks.examples import Examples
from bertkit.tasks.kinds import task_family
from bertkit.tasks.labelled import LabelledExamples
from bertkit.tasks.options import Columns, TaskOptions


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
        return _named(examples, self.classes) if labelled and self.classes else examples


def _named(examples: Examples, classes: tuple[str, ...]) -> Examples:
    """Examples whose labels are numbers, or lists of numbers as such or between commas, with the names of these."""
    assert isinstance(examples, LabelledExamples)
    labels = tuple(_name(label, classes, examples.place(index)) for index, label in enumerate(examples.labels))
    return replace(examples, labels=labels)


def _name(label: object, classes: tuple[str, ...], place: str) -> object:
    if isinstance(label, str) and not label.isdecimal():
        label = [part for part in label.split(",") if part]
    if isinstance(label, list):
        return [_name(one, classes, place) for one in label]
    number = int(label) if isinstance(label, str) else label
    if not isinstance(number, int) or not 0 <= number < len(classes):
        raise InputError(f"{place}: label {label!r} is none of 0 to {len(classes) - 1}: check the data set")
    return classes[number]


_COMPRESSIONS = ("", ".xz", ".gz", ".zst")


@dataclass(frozen=True, kw_only=True)
class Split:
    """A file of the benchmark's folder, or the rows of it whose column `where[0]` says `where[1]`."""

    file: str
    where: tuple[str, str] | None = None
    columns: Columns | None = None
    """Where this file has its texts and labels, if elsewhere than the others."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Files, columns, labels and metrics of one data set."""

    name: str
    kind: str = "classification"
    """Of task; a line of `kinds.KINDS`."""
    columns: Columns
    metric_names: tuple[str, ...] | None = ("accuracy",)
    """The first one decides which weights are best; None takes the kind's own."""
    train: Split | None = Split(file="train.tsv")
    dev: Split | None = Split(file="dev.tsv")
    further_dev: Mapping[str, Split] = field(default_factory=dict)
    """Dev sets by name that are measured with the first one and choose nothing."""
    test: Split | None = None
    """Only where it has labels: GLUE keeps those of its test sets."""
    unlabelled: Mapping[str, Split] = field(default_factory=dict)
    """Files by name that are there to be predicted."""
    folder_names: tuple[str, ...] = ()
    """What its folder is called elsewhere, beside its own name."""
    hub: HubLayout | None = None
    """The same on the hub, read where its data set's name is given in place of a folder."""
    model_of: str | None = None
    """Benchmark whose models this one measures, where it has no training set."""
    classes: tuple[str, ...] = ()
    """Names of the labels 0, 1, … where the files have numbers; none where these are names enough."""

    @property
    def family(self) -> type[Task[Any]]:
        """The class of its kind."""
        return task_family(self.kind)

    def splits(self) -> dict[str, Split]:
        """The labelled splits by name."""
        further = {f"dev_{name}": split for name, split in self.further_dev.items()}
        splits = {"train": self.train, "dev": self.dev, **further, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    def folder(self, data: Path) -> Path:
        """Where the files lie in a folder with one for each benchmark; a data set on the hub is its own place."""
        if self._on_hub(data):
            return data
        return next((data / name for name in self.folder_names if (data / name).is_dir()), data / self.name)

    def missing(self, folder: Path) -> list[str]:
        """The files of the labelled splits that the folder does not have."""
        if self._on_hub(folder):
            return []
        return [split.file for split in self.splits().values() if _find(folder, split.file) is None]

    def has_unlabelled(self, folder: Path, name: str) -> bool:
        """Whether the file of one of `unlabelled` is in the folder."""
        return self._on_hub(folder) or _find(folder, self.unlabelled[name].file) is not None

    def read(self, folder: Path, split: str, encoding_errors: EncodingErrors = "strict") -> Examples:
        """Read one of `splits()` from the benchmark's folder; a missing file raises `InputError`."""
        splits = self.splits()
        if split not in splits:
            raise InputError(f"{self.name} has no labelled split {split!r}: use one of {', '.join(splits)}")
        return self._read(folder, split, splits[split], encoding_errors, labelled=True)

    def read_unlabelled(self, folder: Path, name: str, encoding_errors: EncodingErrors = "strict") -> Examples:
        """Read one of `unlabelled`; a missing file raises `InputError`."""
        return self._read(folder, name, self.unlabelled[name], encoding_errors, labelled=False)

    def data(
        self, folder: Path, options: TaskOptions | None = None, encoding_errors: EncodingErrors = "strict"
    ) -> TaskData:
        """Read all labelled splits."""
        if self.train is None:
            raise InputError(
                f"{self.name} has no training set: fine-tune on {self.model_of} and measure that model by "
                f"`bertkit evaluate MODEL --task {self.name} --data FOLDER`"
            )
        return TaskData(
            name=self.name,
            family=self.family,
            options=options or TaskOptions(),
            train=self.read(folder, "train", encoding_errors),
            dev=self.read(folder, "dev", encoding_errors),
            further_dev={name: self.read(folder, f"dev_{name}", encoding_errors) for name in self.further_dev},
            test=self.read(folder, "test", encoding_errors) if self.test else None,
            columns=replace(self.columns, encoding_errors=encoding_errors),
            metric_names=self.metric_names,
            benchmark=self.name,
        )

    def _on_hub(self, folder: Path) -> bool:
        return self.hub is not None and folder.as_posix() == self.hub.dataset and not folder.exists()

    def _read(
        self, folder: Path, name: str, split: Split, encoding_errors: EncodingErrors, *, labelled: bool
    ) -> Examples:
        if self.hub is not None and self._on_hub(folder):
            return self.hub.read(self.family, name, labelled=labelled)
        if not folder.is_dir():
            hub = f", or {self.hub.dataset} for the hub's" if self.hub else ""
            raise InputError(f"{folder} is no folder: give the folder with the files of {self.name}{hub}")
        path = _find(folder, split.file)
        if path is None:
            raise InputError(f"{folder} has no {split.file}, which {self.name} needs: give the folder with its files")
        columns = replace(split.columns or self.columns, encoding_errors=encoding_errors)
        examples: Examples = self.family.read(path, columns, where=split.where, labelled=labelled)
        return _named(examples, self.classes) if labelled and self.classes else examples


def _find(folder: Path, name: str) -> Path | None:
    """The file, compressed or not."""
    return next((path for suffix in _COMPRESSIONS if (path := folder / f"{name}{suffix}").is_file()), None)
