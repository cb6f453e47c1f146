"""RoBERTa's and ModernBERT's tokenizers against Hugging Face's."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import ByteLevelBPETokenizer

from bertkit.core.errors import InputError
from bertkit.core.files import read_json, write_json
from bertkit.text.bulk_encoder import ChunkEncoder
from bertkit.text.tokenizer import Tokenizer
from bertkit.text.wordpiece import ROBERTA
from byte_pairs import LINES as MODERN_LINES
from byte_pairs import save_byte_pairs

LINES = ["hello world, the quick brown fox don't stop", "Übung macht den Meister 12345", "naïve café — 東京 🙂"]
NASTY = [
    "",
    " ",
    "hello  world",
    " hello\tworld\n",
    "a <mask> b",
    "<mask>",
    "x </s> y <s>",
    "don't 'll 've",
    "e\u0301\u200d🙂",
]
NASTY += ["\x00\x01", "東京 Tōkyō", "word" * 60, "  hello <mask>  world "]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with vocab.json and merges.txt alone, as RoBERTa was published."""
    folder = tmp_path_factory.mktemp("roberta")
    library = ByteLevelBPETokenizer()
    library.train_from_iterator(LINES * 5, vocab_size=340, min_frequency=1, special_tokens=list(ROBERTA.all))
    library.save_model(str(folder))
    return folder


@pytest.fixture(scope="module")
def saved(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    Tokenizer.from_pretrained(files).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def theirs(saved: Path):
    return transformers.AutoTokenizer.from_pretrained(saved)


@pytest.fixture(scope="module")
def ours(files: Path) -> Tokenizer:
    return Tokenizer.from_pretrained(files)


def _assert_same(ours: Tokenizer, theirs, text: str, pair: str | None = None, **options) -> None:
    cut = {"truncation": "longest_first", **options} if options else {}
    expected = theirs(text, pair, return_offsets_mapping=True, **cut)
    found = ours.encode(text, pair, **options)
    assert found.input_ids.tolist() == expected["input_ids"]
    assert [tuple(offset) for offset in found.offsets.tolist()] == expected["offset_mapping"]
    assert not found.token_type_ids.any()


@pytest.mark.parametrize("text", NASTY + LINES)
def test_ids_and_offsets_are_theirs(ours: Tokenizer, theirs, text: str):
    _assert_same(ours, theirs, text)
    _assert_same(ours, theirs, text, "hello world")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.text("ab <mask>é一", min_size=1))
def test_ids_and_offsets_are_theirs_for_any_text(ours: Tokenizer, theirs, text: str, pair: str):
    _assert_same(ours, theirs, text, pair)


@pytest.mark.parametrize("max_length", [4, 5, 7, 8, 12, 30])
def test_pairs_are_cut_as_theirs(ours: Tokenizer, theirs, max_length: int):
    for text in LINES:
        for pair in LINES:
            _assert_same(ours, theirs, text, pair, max_length=max_length)
        _assert_same(ours, theirs, text, max_length=max_length)


def test_there_are_two_separators_between_segments(ours: Tokenizer):
    first, second = (ours.encode(text).input_ids[1:-1].tolist() for text in LINES[:2])
    cls, sep = ours.cls_token_id, ours.sep_token_id
    assert ours.encode(*LINES[:2]).input_ids.tolist() == [cls, *first, sep, sep, *second, sep]


def test_every_way_of_storing_gives_the_same_tokenizer(files: Path, saved: Path, tmp_path: Path):
    expected = Tokenizer.from_pretrained(files)
    shutil.copy(saved / "tokenizer.json", tmp_path)
    for folder in (saved, tmp_path, tmp_path / "tokenizer.json"):
        found = Tokenizer.from_pretrained(folder)
        assert found.fingerprint == expected.fingerprint
        assert found.subwords == expected.subwords
    assert {path.name for path in saved.iterdir()} == {
        *("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"),
    }


def test_old_files_that_join_a_merge_by_a_space_are_read(saved: Path, tmp_path: Path):
    content = read_json(saved / "tokenizer.json")
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    write_json(tmp_path / "tokenizer.json", content)
    assert Tokenizer.from_pretrained(tmp_path).subwords == Tokenizer.from_pretrained(saved).subwords


def test_texts_come_back(ours: Tokenizer):
    for text in LINES:
        assert ours.decode(ours.encode(text).input_ids) == text


def test_a_special_token_can_be_read_as_text(ours: Tokenizer):
    found = ours.encode("a <mask>", split_special_tokens=True)
    assert ours.mask_token_id not in found.input_ids
    assert ours.decode(found.input_ids) == "a <mask>"


def test_runs_of_pieces_are_those_of_whole_texts(ours: Tokenizer):
    pieces = ours.pieces(LINES)
    for text, example in zip(LINES, ours.join(pieces), strict=True):
        np.testing.assert_array_equal(example.input_ids, ours.encode(text).input_ids)
        np.testing.assert_array_equal(example.offsets, ours.encode(text).offsets)


def test_preparing_a_corpus_asks_for_wordpiece(ours: Tokenizer):
    with pytest.raises(InputError, match="WordPiece"):
        ChunkEncoder(ours)


BAD = {
    "no merges": (lambda folder: (folder / "merges.txt").unlink(), r"no merges\.txt"),
    "no mask": (
        lambda folder: write_json(
            folder / "vocab.json",
            {name.replace("<mask>", "mask"): index for name, index in read_json(folder / "vocab.json").items()},
        ),
        "no <mask>",
    ),
    "a gap": (
        lambda folder: write_json(folder / "vocab.json", read_json(folder / "vocab.json") | {"<s>": 999}),
        "gaps or repeats",
    ),
    "other merges": (
        lambda folder: (folder / "merges.txt").write_text("#version: 0.2\nqq zz\n"),
        "merge qq zz makes no entry",
    ),
    "a merge of three": (lambda folder: (folder / "merges.txt").write_text("a b c\n"), "'a b c' is not of two"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_one_line(files: Path, tmp_path: Path, kind: str):
    shutil.copytree(files, tmp_path / "bad")
    damage, words = BAD[kind]
    damage(tmp_path / "bad")
    with pytest.raises(InputError, match=words):
        Tokenizer.from_pretrained(tmp_path / "bad")


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("normalizer", {"type": "Lowercase"}),
        ("pre_tokenizer", {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}),
    ],
)
def test_a_tokenizer_of_another_model_is_refused(saved: Path, tmp_path: Path, part: str, change: dict[str, object]):
    content = read_json(saved / "tokenizer.json") | {part: change}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="RoBERTa"):
        Tokenizer.from_pretrained(tmp_path)


@pytest.fixture(scope="module")
def saved_modern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    save_byte_pairs(folder)
    return folder


@pytest.fixture(scope="module")
def our_modern(saved_modern: Path) -> Tokenizer:
    return Tokenizer.from_pretrained(saved_modern)


@pytest.fixture(scope="module")
def their_modern(saved_modern: Path):
    return transformers.AutoTokenizer.from_pretrained(saved_modern)


def test_texts_and_pairs_have_the_ids_of_hugging_face(our_modern: Tokenizer, their_modern):
    for first, second in zip(MODERN_LINES, reversed(MODERN_LINES), strict=True):
        assert our_modern.encode(first).input_ids.tolist() == their_modern(first)["input_ids"]
        if second:  # Transformers takes an empty second text for none
            assert our_modern.encode(first, second).input_ids.tolist() == their_modern(first, second)["input_ids"]


@settings(max_examples=60)
@given(text=st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_has_the_ids_of_hugging_face_and_pieces_are_spans_of_it(
    our_modern: Tokenizer, their_modern, text: str
):
    found = our_modern.encode(text)
    assert found.input_ids.tolist() == their_modern(text)["input_ids"]
    for start, end in found.offsets[1:-1].tolist():
        assert 0 <= start <= end <= len(text)


def test_offsets_leave_out_the_space_before_a_word(our_modern: Tokenizer):
    text = "the river falls"
    starts = {text[start:end] for start, end in our_modern.encode(text).offsets.tolist()}
    assert not any(piece.startswith(" ") for piece in starts)


def test_a_special_token_of_modernbert_can_be_read_as_text(our_modern: Tokenizer):
    found = our_modern.encode("a [MASK]", split_special_tokens=True)
    assert our_modern.mask_token_id not in found.input_ids
    assert our_modern.decode(found.input_ids) == "a [MASK]"


def test_saved_and_read_again_it_is_the_same(our_modern: Tokenizer, their_modern, tmp_path: Path):
    our_modern.save_pretrained(tmp_path, max_length=8192, token_types=False)
    again, back = Tokenizer.from_pretrained(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert again.fingerprint == our_modern.fingerprint and again.vocab_size == our_modern.vocab_size == len(
        their_modern
    )
    assert back.model_max_length == 8192 and back.mask_token == "[MASK]"
    assert list(back("a")) == ["input_ids", "attention_mask"]
    for line in MODERN_LINES:
        np.testing.assert_array_equal(again.encode(line).input_ids, our_modern.encode(line).input_ids)
        assert back(line, MODERN_LINES[0])["input_ids"] == their_modern(line, MODERN_LINES[0])["input_ids"]


def test_a_vocabulary_without_a_mask_is_refused(saved_modern: Path, tmp_path: Path):
    content = read_json(saved_modern / "tokenizer.json")
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "[MASK]"]
    write_json(tmp_path / "tokenizer.json", content)
    with pytest.raises(InputError, match=r"tokenizer\.json: the vocabulary has no \[MASK\]"):
        Tokenizer.from_pretrained(tmp_path)
