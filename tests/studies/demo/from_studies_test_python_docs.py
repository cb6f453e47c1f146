from pathlib import Path

import pytest

from bertkit import InputError
from bertkit.studies.python_docs import TOPICS, read_python_docs


def test_modules_are_read_in_order_without_importing_them(library: Path):
    names = [document.name for document in read_python_docs(library) if document.package != TOPICS]
    assert names == sorted(names)
    assert {"sound.alpha", "garden.sigma", "single"} < set(names)


def test_tests_and_sources_that_do_not_parse_are_left_out(library: Path):
    packages = {document.package for document in read_python_docs(library)}
    assert packages == {TOPICS, "sound", "garden", "single"}


def test_docstrings_come_in_the_order_of_the_file(tmp_path: Path):
    (tmp_path / "order.py").write_text(
        '"""The first of all texts."""\n'
        'class A:\n    """The second of all texts."""\n    def f(self):\n        """The third of all texts."""\n'
        'def g():\n    """The fourth of all texts."""\n'
    )
    document = read_python_docs(tmp_path)[-1]
    assert document.name == "order"
    assert [sentence.split()[1] for sentence in document.sentences] == ["first", "second", "third", "fourth"]


def test_the_help_topics_are_part_of_it(library: Path):
    topics = [document for document in read_python_docs(library) if document.package == TOPICS]
    assert len(topics) > 50
    assert any("lambda expressions" in sentence.lower() for t in topics for sentence in t.sentences)


def test_a_library_without_docstrings_is_refused(tmp_path: Path):
    (tmp_path / "bare.py").write_text("x = 1\n")
    with pytest.raises(InputError, match="no docstrings"):
        read_python_docs(tmp_path)
