"""The demo's corpus: text to pre-train on and labelled sentences, with no test module in either."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bertkit.core.errors import InputError
from bertkit.core.files import atomic_folder
from bertkit.core.randomness import derive_key
from bertkit.core.records import read_record, write_record
from bertkit.studies.demo.python_docs import TOPICS, DocumentedModule, read_python_docs
from bertkit.tasks.labelled import LabelledExamples, read_examples
from bertkit.tasks.options import Columns

_NOT_LETTERS = re.compile(r"[^a-z]+")


@dataclass(frozen=True, kw_only=True)
class PackageTaskOptions:
    """Which packages are the classes, and which of their modules are test modules."""

    min_modules: int = 5
    """Modules with examples that a package needs, so that training and test both get several."""
    min_examples: int = 150
    """Examples that a package needs."""
    max_packages: int = 10
    """Number of packages; those with the most examples are taken."""
    min_words: int = 5
    """Words that an example needs."""
    test_share: float = 0.25
    """Share of a package's examples that should be in test modules."""
    largest_test_share: float = 0.4
    """A module that would raise the share above this is not used for testing."""
    max_test_examples: int = 150
    """Most test examples of one package."""
    seed: int = 0
    """Decides which modules are test modules."""


@dataclass(frozen=True, kw_only=True)
class LabelledSentence:
    """An example and the module that it comes from."""

    text: str
    label: str
    module: str


@dataclass(frozen=True, kw_only=True)
class PackageTask:
    """The corpus in three parts; test modules have no text in the other two."""

    packages: tuple[str, ...]
    pretraining: tuple[DocumentedModule, ...]
    """All documents but the test modules, whole and without labels."""
    train: tuple[LabelledSentence, ...]
    test: tuple[LabelledSentence, ...]
    test_modules: frozenset[str]


def build_package_task(documents: Sequence[DocumentedModule], options: PackageTaskOptions) -> PackageTask:
    """Choose packages, and choose their test modules by a hash of the modules' names.

    The text of an example occurs in no other document, not even with other case, digits or punctuation. So removing the
    test modules from the pre-training text removes the test examples too.
    Raises `InputError` if fewer than two packages have enough text.
    """
    examples = _examples(documents, options)
    by_package: dict[str, dict[str, list[LabelledSentence]]] = defaultdict(dict)
    for module, found in examples.items():
        by_package[found[0].label][module] = found
    counts = {
        package: sum(map(len, modules.values()))
        for package, modules in by_package.items()
        if len(modules) >= options.min_modules
    }
    enough = sorted((name for name in counts if counts[name] >= options.min_examples), key=lambda n: (-counts[n], n))
    packages = tuple(sorted(enough[: options.max_packages]))
    if len(packages) < 2:
        raise InputError(
            f"this Python's library has {len(packages)} packages with {options.min_modules} documented modules: "
            f"use an installation that was not stripped"
        )
    train: list[LabelledSentence] = []
    test: list[LabelledSentence] = []
    test_modules: set[str] = set()
    for package in packages:
        modules = by_package[package]
        chosen = _test_modules({name: len(found) for name, found in modules.items()}, options)
        test_modules |= chosen
        train += [example for name in modules if name not in chosen for example in modules[name]]
        candidates = [example for name in modules if name in chosen for example in modules[name]]
        test += _sample(candidates, options.max_test_examples, options.seed)
    return PackageTask(
        packages=packages,
        pretraining=tuple(document for document in documents if document.name not in test_modules),
        train=tuple(train),
        test=tuple(test),
        test_modules=frozenset(test_modules),
    )


def normalised(sentence: str) -> str:
    """The letters of a sentence in lower case; sentences with the same letters count as the same."""
    return _NOT_LETTERS.sub(" ", sentence.lower()).strip()


def _examples(documents: Iterable[DocumentedModule], options: PackageTaskOptions) -> dict[str, list[LabelledSentence]]:
    """Each module's sentences that are long enough and occur in no other document."""
    documents_of: dict[str, set[str]] = defaultdict(set)
    for document in documents:
        for sentence in document.sentences:
            documents_of[normalised(sentence)].add(document.name)
    examples: dict[str, list[LabelledSentence]] = {}
    for document in documents:
        if document.package == TOPICS:
            continue
        own = {normalised(s): s for s in reversed(document.sentences) if len(documents_of[normalised(s)]) == 1}
        found = [
            LabelledSentence(text=text, label=document.package, module=document.name)
            for key, text in reversed(own.items())
            if len(key.split()) >= options.min_words
        ]
        if found:
            examples[document.name] = found
    return examples


def _test_modules(sizes: dict[str, int], options: PackageTaskOptions) -> frozenset[str]:
    """Modules in the order of a hash of their names, until they have the wanted share of the examples."""
    total = sum(sizes.values())
    chosen: set[str] = set()
    count = 0
    for name in sorted(sizes, key=lambda name: derive_key(options.seed, "test module", name)):
        if count >= options.test_share * total:
            break
        if count + sizes[name] <= options.largest_test_share * total:
            chosen.add(name)
            count += sizes[name]
    return frozenset(chosen)


def _sample(examples: Sequence[LabelledSentence], most: int, seed: int) -> list[LabelledSentence]:
    kept = sorted(examples, key=lambda example: derive_key(seed, "test example", example.text))[:most]
    return sorted(kept, key=lambda example: (example.module, example.text))


_FACTS = "facts.json"


@dataclass(frozen=True, kw_only=True)
class PartSize:
    """Modules and sentences of one package in one part."""

    modules: int
    sentences: int


@dataclass(frozen=True, kw_only=True)
class CorpusFacts:
    """How much text the corpus has."""

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
    """A folder with labelled tables and `pretraining.txt`: a sentence a line, a blank line between documents."""

    folder: Path

    @property
    def pretraining(self) -> Path:
        """Text of all modules but the test modules."""
        return self.folder / "pretraining.txt"

    @property
    def train(self) -> Path:
        """Labelled sentences, JSON lines with text, label and module."""
        return self.folder / "train.jsonl"

    @property
    def test(self) -> Path:
        """Labelled sentences of the test modules."""
        return self.folder / "test.jsonl"

    def examples(self, part: Path) -> LabelledExamples:
        """Read the table `train` or `test`."""
        return read_examples(part, Columns())

    def facts(self) -> CorpusFacts:
        """The counts that were taken when the files were written."""
        return read_record(self.folder / _FACTS, CorpusFacts, "remove the folder of the demo and run it again")

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
            write_record(folder / _FACTS, asdict(facts))
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
