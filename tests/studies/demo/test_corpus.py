from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit import InputError
from bertkit.studies.demo.corpus import PackageTask, PackageTaskOptions, build_package_task, normalised
from bertkit.studies.demo.python_docs import DocumentedModule, read_python_docs

OPTIONS = PackageTaskOptions(min_modules=3, min_examples=5, min_words=3)


def document(name: str, *sentences: str) -> DocumentedModule:
    return DocumentedModule(name=name, sentences=sentences)


def corpus(modules: int = 6, sentences: int = 4) -> list[DocumentedModule]:
    letters = "abcdefghij"
    return [
        document(f"{package}.m{m}", *(f"{package} {letters[m]} says {letters[s]}." for s in range(sentences)))
        for package in ("one", "two")
        for m in range(modules)
    ]


def assert_no_leak(documents: Sequence[DocumentedModule], task: PackageTask) -> None:
    """No test module in any other part, and no test sentence in any text that is learned from."""
    modules_of = {
        "pretraining": {document.name for document in task.pretraining},
        "train": {example.module for example in task.train},
        "test": {example.module for example in task.test},
    }
    assert modules_of["test"] <= task.test_modules
    assert not task.test_modules & (modules_of["pretraining"] | modules_of["train"])
    assert modules_of["pretraining"] | task.test_modules == {document.name for document in documents}
    learned = {normalised(sentence) for document in task.pretraining for sentence in document.sentences}
    learned |= {normalised(example.text) for example in task.train}
    assert not learned & {normalised(example.text) for example in task.test}


@given(seed=st.integers(0, 10_000), modules=st.integers(3, 9))
def test_nothing_of_the_test_modules_is_learned_from(seed: int, modules: int):
    documents = [*corpus(modules), document("topics.words", "One a says b!", "Something about words here.")]
    options = PackageTaskOptions(min_modules=3, min_examples=5, min_words=3, seed=seed)
    task = build_package_task(documents, options)
    assert task.test
    assert_no_leak(documents, task)


def test_nothing_leaks_in_the_documentation_of_this_python():
    documents = read_python_docs()
    task = build_package_task(documents, PackageTaskOptions())
    assert_no_leak(documents, task)
    assert len(task.packages) >= 5
    for part in (task.train, task.test):
        assert {example.label for example in part} == set(task.packages)
        assert all(example.module.split(".")[0] == example.label for example in part)


def test_a_sentence_that_comes_again_elsewhere_is_no_example():
    again = "It says this, twice."
    documents = [*corpus(), document("one.more", again), document("other", "it says THIS twice!")]
    task = build_package_task(documents, OPTIONS)
    assert again not in {example.text for example in (*task.train, *task.test)}


def test_a_sentence_that_comes_again_in_its_own_module_is_one_example():
    documents = [*corpus(), *(document("one.more", "It says this.", "It says this!") for _ in range(1))]
    task = build_package_task(documents, OPTIONS)
    assert sum("It says" in example.text for example in (*task.train, *task.test)) == 1


def test_a_module_with_most_of_a_package_is_not_tested_on():
    giant = document("one.giant", *(f"Word {a} and {b}." for a in "abcdefgh" for b in "ijklmnop"))
    for seed in range(20):
        task = build_package_task(
            [*corpus(), giant], PackageTaskOptions(min_modules=3, min_examples=5, min_words=3, seed=seed)
        )
        assert "one.giant" not in task.test_modules


def test_test_examples_of_a_package_are_bounded():
    options = PackageTaskOptions(min_modules=3, min_examples=5, min_words=3, max_test_examples=2)
    counts = Counter(example.label for example in build_package_task(corpus(), options).test)
    assert counts == {"one": 2, "two": 2}


def test_a_library_with_one_large_package_is_refused():
    with pytest.raises(InputError, match="not stripped"):
        build_package_task([d for d in corpus() if d.package == "one"], OPTIONS)
