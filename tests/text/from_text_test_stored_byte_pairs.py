"""ModernBERT's tokenizer, from a file in its layout, against Hugging Face's."""

from pathlib import Path

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.foundation.errors import InputError
from bertkit.foundation.files import read_json, write_json
from bertkit.text.tokenizer import Tokenizer
from byte_pairs import LINES, save_byte_pairs


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    save_byte_pairs(folder)
    return folder


@pytest.fixture(scope="module")
def theirs(saved: Path):
    return transformers.AutoTokenizer.from_pretrained(saved)


@pytest.fixture(scope="module")
def ours(saved: Path) -> Tokenizer:
    return Tokenizer.from_pretrained(saved)


def test_texts_and_pairs_have_the_ids_of_hugging_face(ours: Tokenizer, theirs):
    for first, second in zip(LINES, reversed(LINES), strict=True):
        assert ours.encode(first).input_ids.tolist() == theirs(first)["input_ids"]
        if second:  # Transformers takes an empty second text for none
            assert ours.encode(first, second).input_ids.tolist() == theirs(first, second)["input_ids"]


@settings(max_examples=60)
@given(text=st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_has_the_ids_of_hugging_face_and_pieces_lie_in_it(ours: Tokenizer, theirs, text: str):
    found = ours.encode(text)
    assert found.input_ids.tolist() == theirs(text)["input_ids"]
    for start, end in found.offsets[1:-1].tolist():
        assert 0 <= start <= end <= len(text)


def test_offsets_leave_out_the_space_before_a_word(ours: Tokenizer):
    text = "the river falls"
    starts = {text[start:end] for start, end in ours.encode(text).offsets.tolist()}
    assert not any(piece.startswith(" ") for piece in starts)


def test_a_special_token_can_be_read_as_text(ours: Tokenizer):
    found = ours.encode("a [MASK]", split_special_tokens=True)
    assert ours.mask_token_id not in found.input_ids
    assert ours.decode(found.input_ids) == "a [MASK]"


def test_saved_and_read_again_it_is_the_same(ours: Tokenizer, theirs, tmp_path: Path):
    ours.save_pretrained(tmp_path, max_length=8192, token_types=False)
    again, back = Tokenizer.from_pretrained(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert again.fingerprint == ours.fingerprint and again.vocab_size == ours.vocab_size == len(theirs)
    assert back.model_max_length == 8192 and back.mask_token == "[MASK]"
    assert list(back("a")) == ["input_ids", "attention_mask"]
    for line in LINES:
        np.testing.assert_array_equal(again.encode(line).input_ids, ours.encode(line).input_ids)
        assert back(line, LINES[0])["input_ids"] == theirs(line, LINES[0])["input_ids"]


def test_a_vocabulary_without_a_mask_is_refused(saved: Path, tmp_path: Path):
    content = read_json(saved / "tokenizer.json")
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "[MASK]"]
    write_json(tmp_path / "tokenizer.json", content)
    with pytest.raises(InputError, match=r"tokenizer\.json: the vocabulary has no \[MASK\]"):
        Tokenizer.from_pretrained(tmp_path)
