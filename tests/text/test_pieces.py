import numpy as np
import pytest
from hypothesis import given, settings

from bertkit.core.errors import InputError
from bertkit.text import pieces as long_lines
from bertkit.text.pieces import Pieces, with_breaks
from bertkit.text.tokenizer import Tokenizer
from nasty_lines import CORPUS, LINES


@pytest.fixture(scope="module", params=[True, False], ids=["uncased", "cased"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer.train(CORPUS, vocab_size=140, lowercase=request.param)


def as_lists(pieces: Pieces) -> list[tuple[list[int], list[list[int]]]]:
    runs = [slice(start, start + length) for start, length in zip(pieces.starts, pieces.lengths, strict=True)]
    return [(pieces.ids[run].tolist(), pieces.offsets[run].tolist()) for run in runs]


@settings(max_examples=400, deadline=None)
@given(texts=LINES)
def test_chunks_give_the_ids_and_offsets_of_whole_texts_whatever_the_characters(tokenizer: Tokenizer, texts: list[str]):
    whole = [(e.input_ids[1:-1].tolist(), e.offsets[1:-1].tolist()) for e in tokenizer.encode_batch(texts)]
    assert as_lists(tokenizer.pieces(texts)) == whole


@settings(max_examples=100, deadline=None)
@given(texts=LINES)
def test_joined_pieces_are_what_encoding_makes(tokenizer: Tokenizer, texts: list[str]):
    pieces = tokenizer.pieces(texts)
    pairs = zip(tokenizer.join(pieces, pieces), tokenizer.encode_batch(texts, texts), strict=True)
    for ours, expected in pairs:
        for part in ("input_ids", "token_type_ids", "offsets"):
            assert np.array_equal(getattr(ours, part), getattr(expected, part))


def test_parts_are_cut_where_their_text_ends(tokenizer: Tokenizer):
    pieces = tokenizer.pieces(["the fox", "foxes"])
    whole = as_lists(pieces)
    parts = pieces.parts(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1, 99, 99]))
    assert as_lists(parts) == [
        tuple(part[:1] for part in whole[0]),
        tuple(part[1:] for part in whole[0]),
        whole[1],
    ]


def test_a_bad_text_is_named(tokenizer: Tokenizer):
    with pytest.raises(InputError, match="text 1 is 3"):
        tokenizer.pieces(["fox", 3])  # type: ignore[list-item]
    with pytest.raises(InputError, match="lone surrogate"):
        tokenizer.pieces(["fox", "bad \ud800 text"])


def test_only_very_long_lines_get_spaces_and_only_before_most_ascii_punctuation_after_ascii(monkeypatch):
    assert with_breaks(b"a,b,c") == b"a,b,c"
    monkeypatch.setattr(long_lines, "_LONG_LINE_BYTES", 3)
    assert with_breaks("a,b\na,b.é,c".encode()) == "a,b\na ,b.é,c".encode()
