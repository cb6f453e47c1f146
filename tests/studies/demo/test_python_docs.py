import pytest

from bertkit.studies.docstring_prose import prose_sentences


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
