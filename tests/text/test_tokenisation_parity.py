"""Ids and offsets against Transformers' BertTokenizer, and ids against google-research/bert's algorithm."""

import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, BertTokenizer

from bertkit.core.errors import InputError
from bertkit.text.bulk_encoder import ChunkEncoder
from bertkit.text.tokenizer import Tokenizer
from bertkit.text.vocabulary import count_words
from bertkit.text.wordpiece import WordPieceRules
from google_bert import google_bert
from reference_tokenisation import pieces, words

CORPUS = [
    "The fox's café, ΣΊΣΥΦΟΣ σίσυφος οδός 中文 naïve [x] foxes | İstanbul e\u0301 한국어 # ##fox don't 1st U.S.A. “”—…",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z 0 1 2 3 4 5 6 7 8 9 A B C D É é \u0301 \u1112\u1161\u11ab",
] * 3

# Unicode has reclassified it since: a mark without width until version 14, one with width from 15 on.
RECLASSIFIED = {"\U0001171e"} if unicodedata.unidata_version < "15" else set()

NASTY = [
    *"ΣσςΑα'.:^`-,“”—…[]#|_@~",  # the last sigma of a word, across marks
    *"\u0301\u0345\u0308\u20dd\u0903\u0bbe\u1ab0\u3099\U0001d165\U000e0100",  # marks: combining, enclosing, spacing
    *"\u4e00中\u3400\u9fff\ua000\uf900\ufa0e\U00020000\U0002a6df\U0002b740\U0002b820\U0002b91f\U0002ceaf\U0002ceb0\U0002f800",
    *"\U0001f600\U00010400\U0001f468\u200d\ufe0f\U000f0000\U0010fffd\ue000\U00011938",  # emoji, astral, private
    *"\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u202e\u061c\U000e0001",  # without width
    *"\0\x01\x07\x0b\x0c\x1c\x1d\x1e\x1f\x7f\x80\x85\x9f\ufffd\ufffe\uffff",  # controls and none
    *" \t\n\r\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000",  # white space
    *"İıſßẞŉǰΐᾳﬀª²½ⅷ①KÅ\u01c5\u037e\u0387\u1fef\u2126\uac00한\u1112\u1161",  # case and decomposition
]
WORDS = [
    "[MASK]",
    "[CLS]",
    "##fox",
    "foxes",
    "Café",
    "ΟΔΟΣ",
    "ab" * 50,
    "ab" * 50 + "c",
    "cd" * 100,
    "e" * 201,
    "é" * 120,
]
ASSIGNED = st.characters(exclude_categories=["Cs", "Cn"]).filter(lambda c: c not in RECLASSIFIED)
TEXTS = st.lists(st.sampled_from(NASTY + WORDS) | ASSIGNED | st.sampled_from("abc"), max_size=16).map("".join)
SURROGATES = st.lists(st.sampled_from([*NASTY, "ab", "\ud800", "\udbff", "\udc00", "\udfff"]), max_size=10).map("".join)


@pytest.fixture(scope="module", params=[True, False], ids=["uncased", "cased"])
def lowercase(request) -> bool:
    return request.param


@pytest.fixture(scope="module")
def tokenizers(lowercase, tmp_path_factory) -> dict[str, Tokenizer]:
    """The same vocabulary with the cleaning of either reference."""
    folder = tmp_path_factory.mktemp("tokenizers")
    Tokenizer.train(CORPUS, vocab_size=420, lowercase=lowercase).save_pretrained(folder)
    return {
        follow: Tokenizer.from_pretrained(folder / "vocab.txt", lowercase, follow)
        for follow in ("huggingface", "google")
    }


@pytest.fixture(scope="module")
def transformers_tokenizer(tokenizers, tmp_path_factory) -> BertTokenizer:
    tokenizers["huggingface"].save_pretrained(folder := tmp_path_factory.mktemp("huggingface"))
    return BertTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def tokenization():
    return google_bert("tokenization")


def tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.id_to_token(i) for i in tokenizer.encode(text, split_special_tokens=True).input_ids[1:-1]]


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, pair=st.none() | TEXTS.filter(bool))  # Transformers reads an empty second text as none
def test_ids_and_offsets_are_those_of_transformers(tokenizers, transformers_tokenizer, text, pair):
    ours = tokenizers["huggingface"].encode(text, pair)
    theirs = transformers_tokenizer(text, pair, return_offsets_mapping=True)
    assert ours.input_ids.tolist() == theirs["input_ids"]
    assert ours.token_type_ids.tolist() == theirs["token_type_ids"]
    assert [tuple(offsets) for offsets in ours.offsets.tolist()] == theirs["offset_mapping"]


@settings(max_examples=300, deadline=None)
@given(text=TEXTS | SURROGATES)
def test_following_google_gives_the_pieces_of_its_algorithm(tokenizers, lowercase, text):
    tokenizer = tokenizers["google"]
    vocabulary = set(tokenizer.wordpiece.vocabulary)
    expected = pieces(text, vocabulary, lowercase)
    assert tokens(tokenizer, text) == expected
    ids, lengths = ChunkEncoder(tokenizer).encode_lines(["fox", text, "."])
    assert [tokenizer.id_to_token(i) for i in ids] == ["fox", *expected, "."] and lengths[1] == len(expected)
    offsets = tokenizer.encode(text, split_special_tokens=True).offsets[1:-1]
    assert (offsets[:, 0] < offsets[:, 1]).all() and (offsets[1:, 0] >= offsets[:-1, 0]).all()
    assert len(offsets) == 0 or offsets.max() <= len(text)


@settings(max_examples=300, deadline=None)
@given(text=TEXTS | SURROGATES, lowercase=st.booleans())
def test_the_transcription_is_google_s_algorithm(tokenization, text, lowercase):
    assert list(words(text, lowercase)) == tokenization.BasicTokenizer(do_lower_case=lowercase).tokenize(text)
    vocabulary = {"a", "b", "##b", "##ba", "ab", "##cd", "c"}
    found = tokenization.WordpieceTokenizer(vocabulary).tokenize(" ".join(words(text, lowercase)))
    assert pieces(text, vocabulary, lowercase) == found


def test_every_character_is_cleaned_and_split_as_by_google(lowercase):
    rules = WordPieceRules(lowercase=lowercase, follow="google")
    normalizer, splitter = rules.normalizer(), rules.splitter()
    different, checked = [], 0
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) in ("Cs", "Cn") or character in RECLASSIFIED:
            continue
        text = f"a{character}b {character}"
        found = [word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))]
        different += [hex(code)] * (found != list(words(text, lowercase)))
        checked += 1
    print(f"{checked} characters, {len(different)} different")
    assert not different


@pytest.mark.parametrize("follow", ["huggingface", "google"])
def test_a_saved_tokenizer_is_the_same_here_and_in_transformers(tokenizers, follow, tmp_path: Path):
    tokenizer = tokenizers[follow]
    tokenizer.save_pretrained(tmp_path)
    text = "ΟΔΟΣ x\U0002b820y \ue000 " + "ab" * 60 + " [MASK] " + "cd" * 120
    ids = tokenizer.encode(text).input_ids.tolist()
    assert AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"] == ids
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        again = Tokenizer.from_pretrained(path)
        assert again.wordpiece == tokenizer.wordpiece and again.fingerprint == tokenizer.fingerprint
    (tmp_path / "tokenizer.json").unlink()
    assert Tokenizer.from_pretrained(tmp_path).wordpiece.rules.follow == follow


def test_where_the_two_differ_each_is_followed(tokenizers):
    huggingface, google = tokenizers["huggingface"], tokenizers["google"]
    unknown = ["[UNK]"]
    long = "ab" * 60
    assert tokens(huggingface, long) == unknown and len(tokens(google, long)) >= 60
    assert tokens(google, "ab" * 101) == unknown
    assert tokens(huggingface, "a\ue000b") == tokens(huggingface, "ab") and tokens(google, "a\ue000b") == unknown
    assert tokens(huggingface, "a\U0002b820b") == unknown and tokens(google, "a\U0002b820b") == ["a", "[UNK]", "b"]
    assert huggingface.fingerprint != google.fingerprint


def test_lone_surrogates_are_refused_as_by_transformers_and_unknown_as_by_google(tokenizers, transformers_tokenizer):
    with pytest.raises(InputError, match="lone surrogate"):
        tokenizers["huggingface"].encode("fox \ud800")
    with pytest.raises((TypeError, UnicodeEncodeError)):
        transformers_tokenizer("fox \ud800")
    example = tokenizers["google"].encode("fox \ud800.")
    assert [tokenizers["google"].id_to_token(i) for i in example.input_ids[1:-1]] == ["fox", "[UNK]", "."]
    assert example.offsets[2:4].tolist() == [[4, 5], [5, 6]]


def test_a_vocabulary_is_trained_with_the_cleaning_that_is_followed():
    assert count_words(["ΟΔΟΣ"], WordPieceRules()) == {"οδοσ": 1}
    assert count_words(["ΟΔΟΣ"], WordPieceRules(follow="google")) == {"οδος": 1}
    assert Tokenizer.train(CORPUS, vocab_size=420, follow="google").wordpiece.rules.follow == "google"
    with pytest.raises(InputError, match="follow must be huggingface or google"):
        WordPieceRules(follow="bert")


def test_real_text_is_the_same_for_all(parity_table, shared_data, lowercase, tmp_path):
    lines = (shared_data / "pretrain" / "mini.txt").read_text(encoding="utf-8").split("\n")[::5]
    google = Tokenizer.train(lines, vocab_size=3000, lowercase=lowercase, follow="google")
    google.save_pretrained(tmp_path)
    huggingface = Tokenizer.from_pretrained(tmp_path, follow="huggingface")
    transformers_tokenizer = BertTokenizer(vocab=str(tmp_path / "vocab.txt"), do_lower_case=lowercase)
    theirs = transformers_tokenizer(lines, return_offsets_mapping=True)
    ours = huggingface.encode_batch(lines)
    vocabulary = set(google.wordpiece.vocabulary)
    kind = "lines of real text, " + ("uncased" if lowercase else "cased")
    for what, path, found, expected in (
        ("token ids", "Tokenizer", [example.input_ids.tolist() for example in ours], theirs["input_ids"]),
        (
            "token offsets",
            "Tokenizer",
            [[tuple(offsets) for offsets in example.offsets.tolist()] for example in ours],
            theirs["offset_mapping"],
        ),
        (
            "tokens of Google's algorithm",
            "Tokenizer, follow=google",
            [tokens(google, line) for line in lines],
            [pieces(line, vocabulary, lowercase) for line in lines],
        ),
    ):
        different = sum(mine != wanted for mine, wanted in zip(found, expected, strict=True))
        parity_table.check(what, path, kind, different, 0, "lines that differ", cases=len(lines))
