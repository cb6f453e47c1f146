import pytest

from bertkit.core.errors import InputError
from bertkit.text import vocabulary as vocabulary_training
from bertkit.text.vocabulary import VocabularyOptions, count_words, train_vocabulary
from bertkit.text.wordpiece import WordPieceRules

UNCASED = WordPieceRules(lowercase=True)


def train(lines, vocab_size, **options):
    return train_vocabulary(lines, UNCASED, VocabularyOptions(vocab_size=vocab_size, **options))


def test_entries_are_special_tokens_letters_inner_letters_then_merges_by_frequency():
    entries = train(["low low low", "lot lot"], 14)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert entries == [*special, "l", "o", "t", "w", "##o", "##t", "##w", "lo", "low"]


def test_a_pair_rarer_than_min_frequency_is_not_merged():
    assert "ab" in train(["ab ab"], 20)
    assert "ab" not in train(["ab ab"], 20, min_frequency=3)


def test_the_smallest_possible_size_is_named_and_accepted():
    with pytest.raises(InputError, match="give at least 12"):
        train(["low low low", "lot lot"], 11)
    assert len(train(["low low low", "lot lot"], 12)) == 12


@pytest.mark.parametrize("lines", [[], ["", "  \t"], ["\x00\x01"]])
def test_a_corpus_without_words_is_refused(lines):
    with pytest.raises(InputError, match="no words"):
        train(lines, 100)


def test_a_lone_surrogate_is_refused():
    with pytest.raises(InputError, match="lone surrogate"):
        train(["a \udcff b"], 100)


def test_rare_characters_stay_out_and_ties_go_to_the_lower_code_point():
    entries = train(["aaa bbb ccc a"], 100, limit_alphabet=2)
    assert "b" in entries
    assert "c" not in entries and "##c" not in entries


def test_words_are_counted_after_cleaning_however_often_the_counts_are_folded(monkeypatch):
    lines = ["The cat, the\tCAT", "thé  cat中文", "x" * 101]
    expected = {"the": 3, "cat": 3, ",": 1, "中": 1, "文": 1}
    assert count_words(lines, UNCASED) == expected
    monkeypatch.setattr(vocabulary_training, "_MAX_DISTINCT_CHUNKS", 0)
    assert count_words(lines, UNCASED) == expected


@pytest.mark.parametrize("name", ["min_frequency", "limit_alphabet"])
def test_an_option_below_one_is_refused(name):
    with pytest.raises(InputError, match=name):
        VocabularyOptions(**{name: 0})


@pytest.mark.parametrize("name", ["vocab_size", "min_frequency"])
def test_numbers_beyond_the_ids_of_a_vocabulary_are_refused(name: str):
    with pytest.raises(InputError, match=f"{name} must be at most"):
        VocabularyOptions(**{name: 10**30})
