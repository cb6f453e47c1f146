"""The demo's corpus and labelled sentences as files that every command of bertkit reads."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bertkit.foundation.files import atomic_folder, read_json, write_json
from bertkit.studies.package_task import LabelledSentence, PackageTask, PackageTaskOptions, build_package_task
from bertkit.studies.python_docs import DocumentedModule, read_python_docs
from bertkit.tasks.columns import Columns
from bertkit.tasks.labelled_examples import LabelledExamples, read_examples

_FACTS = "facts.json"


@dataclass(frozen=True, kw_only=True)
class PartSize:
    """Modules and sentences of one package in one part."""

    modules: int
    sentences: int


@dataclass(frozen=True, kw_only=True)
class CorpusFacts:
    """How much text there is."""

    documents: int
    sentences: int
    characters: int
    pretraining_documents: int
    pretraining_sentences: int
    pretraining_characters: int
    test_modules: tuple[str, ...]
    train: dict[str, PartSize]
    test: dict[str, PartSize]


@dataclass(frozen=True)
class DemoCorpus:
    """A folder with `pretraining.txt`, a sentence a line and a blank line between documents, and labelled tables."""

    folder: Path

    @property
    def pretraining(self) -> Path:
        """Text of all modules but the test modules."""
        return self.folder / "pretraining.txt"

    @property
    def train(self) -> Path:
        """JSON lines with text, label and module."""
        return self.folder / "train.jsonl"

    @property
    def test(self) -> Path:
        """The same from the test modules."""
        return self.folder / "test.jsonl"

    def examples(self, part: Path) -> LabelledExamples:
        """Read `train` or `test`."""
        return read_examples(part, Columns())

    def facts(self) -> CorpusFacts:
        """What was counted when the files were written."""
        value = read_json(self.folder / _FACTS)
        for part in ("train", "test"):
            value[part] = {package: PartSize(**size) for package, size in value[part].items()}
        return CorpusFacts(**value | {"test_modules": tuple(value["test_modules"])})

    def write(self, library: Path | None, options: PackageTaskOptions) -> CorpusFacts:
        """Read the documentation and write the folder, whole or not at all."""
        documents = read_python_docs(library)
        task = build_package_task(documents, options)
        facts = _facts(documents, task)
        with atomic_folder(self.folder) as folder:
            text = "\n\n".join("\n".join(document.sentences) for document in task.pretraining)
            (folder / self.pretraining.name).write_text(text + "\n", encoding="utf-8")
            for path, part in ((self.train, task.train), (self.test, task.test)):
                lines = (json.dumps(asdict(example), ensure_ascii=False) for example in part)
                (folder / path.name).write_text("\n".join(lines) + "\n", encoding="utf-8")
            write_json(folder / _FACTS, asdict(facts))
        return facts


def _facts(documents: Sequence[DocumentedModule], task: PackageTask) -> CorpusFacts:
    return CorpusFacts(
        documents=len(documents),
        sentences=sum(len(document.sentences) for document in documents),
        characters=_characters(documents),
        pretraining_documents=len(task.pretraining),
        pretraining_sentences=sum(len(document.sentences) for document in task.pretraining),
        pretraining_characters=_characters(task.pretraining),
        test_modules=tuple(sorted(task.test_modules)),
        train=_part_sizes(task.train),
        test=_part_sizes(task.test),
    )


def _characters(documents: Sequence[DocumentedModule]) -> int:
    return sum(len(sentence) + 1 for document in documents for sentence in document.sentences)


def _part_sizes(examples: Sequence[LabelledSentence]) -> dict[str, PartSize]:
    modules: dict[str, list[str]] = defaultdict(list)
    for example in examples:
        modules[example.label].append(example.module)
    return {label: PartSize(modules=len(set(found)), sentences=len(found)) for label, found in sorted(modules.items())}
