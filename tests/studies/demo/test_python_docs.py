from pathlib import Path

import pytest

from bertkit import InputError
from bertkit.studies.demo.python_docs import TOPICS, prose_sentences, read_python_docs


def test_lines_of_a_paragraph_are_joined_and_split_into_sentences():
    text = "Return the next item of\nthe queue. Wait until there\nis one."
    assert prose_sentences(text) == ["Return the next item of the queue.", "Wait until there is one."]


@pytest.mark.parametrize(
    "unwanted",
    [
        ">>> split('a b')\n['this is the output of it']",
        "+------+------+\n| some words | in a table |\n+------+------+",
        'lambda_expr ::= "lambda" some words of a grammar',
        "A heading of words\n==================",
        "f(a, b=None, c=0) -> list",
        ".. versionadded:: 3.2 some words here",
    ],
)
def test_what_is_no_english_is_left_out(unwanted: str):
    text = f"This comes before it.\n\n{unwanted}\n\nThis comes after it."
    assert prose_sentences(text) == ["This comes before it.", "This comes after it."]


def test_code_behind_a_double_colon_is_left_out_as_far_as_it_is_indented():
    text = "Use it like this::\n\n    with the block as some words:\n        pass it on\n\nThen it is closed."
    assert prose_sentences(text) == ["Use it like this:", "Then it is closed."]


def test_marks_inside_a_line_go_and_their_text_stays():
    text = "The *timeout* of ``poll`` and :class:`Queue` is **always** given [3]_ in `seconds` here."
    assert prose_sentences(text) == ["The timeout of poll and Queue is always given in seconds here."]


def test_stars_of_arguments_and_products_are_no_emphasis():
    text = "It takes *args and **kwargs and gives them on."
    assert prose_sentences(text) == [text]


def test_list_items_are_paragraphs_without_their_marks():
    text = "- the first of all items\n- the second item goes\n  on in a new line"
    assert prose_sentences(text) == ["the first of all items", "the second item goes on in a new line"]


def test_a_signature_before_the_text_goes():
    assert prose_sentences("open(path, mode='r') -> file -- Open a file for me.") == ["Open a file for me."]


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
