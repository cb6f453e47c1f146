from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.text.sentences import split_sentences


def test_abbreviations_do_not_end_a_sentence():
    text = "Dr. Smith went to Washington D.C. on Friday.  He slept there! Did he? Yes"
    assert split_sentences(text) == [
        "Dr. Smith went to Washington D.C. on Friday.",
        "He slept there!",
        "Did he?",
        "Yes",
    ]


def test_text_without_visible_characters_has_no_sentences():
    assert split_sentences("") == split_sentences(" \n\t") == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["The end.", " ", "\n", "“Oh!”", "e.g.", "...", "?", "\x85"]) | st.text(max_size=4)))
def test_only_white_space_around_sentences_is_lost(parts):
    text = "".join(parts)
    rest = text
    for sentence in split_sentences(text):
        assert sentence == sentence.strip() != ""
        before, _, rest = rest.partition(sentence)
        assert not before.strip()
    assert not rest.strip()
