"""Labelled sentences ("which package is this sentence from?") and the text that may be pre-trained on."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bertkit.foundation.errors import InputError
from bertkit.foundation.randomness import derive_key
from bertkit.studies.python_docs import TOPICS, DocumentedModule

_NOT_LETTERS = re.compile(r"[^a-z]+")


@dataclass(frozen=True, kw_only=True)
class PackageTaskOptions:
    """Which packages take part, and how their modules are shared out."""

    min_modules: int = 5
    """Modules with examples that a package needs, so that several stand on either side."""
    min_examples: int = 150
    """Examples that a package needs."""
    max_packages: int = 10
    """The packages with the most examples are taken."""
    min_words: int = 5
    """Words of an example."""
    test_share: float = 0.25
    """Share of a package's examples that test modules are to hold."""
    largest_test_share: float = 0.4
    """A module that would lift the share over this is no test module."""
    max_test_examples: int = 150
    """Test examples of one package."""
    seed: int = 0
    """Decides which modules are test modules."""


@dataclass(frozen=True, kw_only=True)
class LabelledSentence:
    """An example and the module that it stands in."""

    text: str
    label: str
    module: str


@dataclass(frozen=True, kw_only=True)
class PackageTask:
    """Three parts of the corpus; no test module has any text in the other two."""

    packages: tuple[str, ...]
    pretraining: tuple[DocumentedModule, ...]
    """Whole documents: all but the test modules. Labels are not in it."""
    train: tuple[LabelledSentence, ...]
    test: tuple[LabelledSentence, ...]
    test_modules: frozenset[str]


def build_package_task(documents: Sequence[DocumentedModule], options: PackageTaskOptions) -> PackageTask:
    """Choose packages and share out their modules, whole, by a hash of their names.

    An example's text occurs in no second module, not even in other capitals, digits or punctuation, so removing the
    test modules from the pre-training text removes the test examples.
    Raises `InputError` where fewer than two packages have enough text.
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
    """The letters of a sentence, in lower case; sentences that agree in them count as the same."""
    return _NOT_LETTERS.sub(" ", sentence.lower()).strip()


def _examples(documents: Iterable[DocumentedModule], options: PackageTaskOptions) -> dict[str, list[LabelledSentence]]:
    """Each module's sentences that are long enough and stand in no other document."""
    homes: dict[str, set[str]] = defaultdict(set)
    for document in documents:
        for sentence in document.sentences:
            homes[normalised(sentence)].add(document.name)
    examples: dict[str, list[LabelledSentence]] = {}
    for document in documents:
        if document.package == TOPICS:
            continue
        own = {normalised(s): s for s in reversed(document.sentences) if len(homes[normalised(s)]) == 1}
        found = [
            LabelledSentence(text=text, label=document.package, module=document.name)
            for key, text in reversed(own.items())
            if len(key.split()) >= options.min_words
        ]
        if found:
            examples[document.name] = found
    return examples


def _test_modules(sizes: dict[str, int], options: PackageTaskOptions) -> frozenset[str]:
    """Modules in the order of a hash until they hold the wanted share."""
    total = sum(sizes.values())
    chosen: set[str] = set()
    held = 0
    for name in sorted(sizes, key=lambda name: derive_key(options.seed, "test module", name)):
        if held >= options.test_share * total:
            break
        if held + sizes[name] <= options.largest_test_share * total:
            chosen.add(name)
            held += sizes[name]
    return frozenset(chosen)


def _sample(examples: Sequence[LabelledSentence], most: int, seed: int) -> list[LabelledSentence]:
    kept = sorted(examples, key=lambda example: derive_key(seed, "test example", example.text))[:most]
    return sorted(kept, key=lambda example: (example.module, example.text))
