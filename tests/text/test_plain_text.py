from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.text.plain_text import split_sentences, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("EU rejects German call.", "EU rejects German call ."),
        ("the U.N. and the U.S.", "the U.N. and the U.S."),
        ("Peter's and AT&T's O'Brien", "Peter 's and AT&T 's O'Brien"),
        ("on 1996-08-22, at 12:30, 1,000.50 dollars", "on 1996-08-22 , at 12:30 , 1,000.50 dollars"),
        ('Bonn,Berlin ("so")', 'Bonn , Berlin ( " so " )'),
        ("naïve Müller—Lüdenscheid", "naïve Müller — Lüdenscheid"),
        ("", ""),
        ("  \t ", ""),
    ],
)
def test_marks_at_the_ends_of_words_are_words(text: str, words: str):
    assert " ".join(text[start:end] for start, end in split_words(text)) == words


@given(text=st.text(max_size=40))
def test_no_character_is_lost_and_no_word_holds_white_space(text: str):
    spans = split_words(text)
    assert "".join(text[start:end] for start, end in spans) == "".join(text.split())
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


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
