import numpy as np
import pytest
from hypothesis import given, settings

from bertkit.core.errors import InputError
from bertkit.text import bulk_encoder as chunk_encoder
from bertkit.text import pieces as long_lines
from bertkit.text.bulk_encoder import ChunkEncoder
from bertkit.text.tokenizer import Tokenizer
from nasty_lines import CORPUS, LINES


@pytest.fixture(scope="module", params=[True, False], ids=["uncased", "cased"])
def tokenizer(request) -> Tokenizer:
    return Tokenizer.train(CORPUS, vocab_size=140, lowercase=request.param)


def whole_lines(tokenizer: Tokenizer, lines: list[str]) -> list[list[int]]:
    return [e.input_ids[1:-1].tolist() for e in tokenizer.encode_batch(lines, split_special_tokens=True)]


def as_lists(encoded: tuple[np.ndarray, np.ndarray]) -> list[list[int]]:
    ids, lengths = encoded
    assert lengths.sum() == len(ids)
    return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])] if len(lengths) else []


@settings(max_examples=400, deadline=None)
@given(lines=LINES, again=LINES)
def test_chunks_give_the_ids_of_whole_lines_whatever_the_characters(tokenizer: Tokenizer, lines, again):
    encoder = ChunkEncoder(tokenizer)
    for batch in (lines, again, lines):
        assert as_lists(encoder.encode_lines(batch)) == whole_lines(tokenizer, batch)


def test_the_mini_corpus_is_encoded_as_by_the_library(shared_data):
    lines = (shared_data / "pretrain" / "mini.txt").read_text(encoding="utf-8").split("\n")
    tokenizer = Tokenizer.train(lines[:2000], vocab_size=2000)
    encoder = ChunkEncoder(tokenizer)
    encoded = [
        ids for start in range(0, len(lines), 1000) for ids in as_lists(encoder.encode_lines(lines[start:][:1000]))
    ]
    assert encoded == whole_lines(tokenizer, lines)


def test_forgetting_changes_nothing(tokenizer: Tokenizer, monkeypatch):
    lines = ["the fox", "a fox's", "", "the café"]
    expected = whole_lines(tokenizer, lines)
    monkeypatch.setattr(chunk_encoder, "_MAX_CHUNKS", 2)
    encoder = ChunkEncoder(tokenizer)
    for _ in range(3):
        assert as_lists(encoder.encode_lines(lines)) == expected
        assert [as_lists(encoder.encode_lines([line]))[0] for line in lines] == expected


def test_more_new_chunks_than_one_text_holds_are_encoded(tokenizer: Tokenizer, monkeypatch):
    monkeypatch.setattr(chunk_encoder, "_CHUNKS_PER_TEXT", 2)
    lines = ["the fox sees the café", "x y z"]
    assert as_lists(ChunkEncoder(tokenizer).encode_lines(lines)) == whole_lines(tokenizer, lines)


def test_a_word_of_a_million_characters_is_unknown_and_not_kept(tokenizer: Tokenizer, monkeypatch):
    monkeypatch.setattr(chunk_encoder, "_MAX_CHARS", 1000)
    encoder = ChunkEncoder(tokenizer)
    assert as_lists(encoder.encode_lines(["x" * 1_000_000])) == [[tokenizer.unk_token_id]]
    encoder.encode_lines(["fox"])
    assert sum(map(len, encoder._numbers)) == 3


@settings(max_examples=200, deadline=None)
@given(lines=LINES)
def test_breaking_up_very_long_lines_changes_nothing(tokenizer: Tokenizer, lines):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(long_lines, "_LONG_LINE_BYTES", 0)
        assert as_lists(ChunkEncoder(tokenizer).encode_lines(lines)) == whole_lines(tokenizer, lines)


def test_no_lines_give_no_ids(tokenizer: Tokenizer):
    ids, lengths = ChunkEncoder(tokenizer).encode_lines([])
    assert (ids.dtype, len(ids), len(lengths)) == (np.uint32, 0, 0)


def test_a_lone_surrogate_is_refused_and_the_encoder_stays_usable(tokenizer: Tokenizer):
    encoder = ChunkEncoder(tokenizer)
    with pytest.raises(InputError, match="lone surrogate"):
        encoder.encode_lines(["fox", "bad \ud800 text"])
    assert as_lists(encoder.encode_lines(["fox bad"])) == whole_lines(tokenizer, ["fox bad"])
