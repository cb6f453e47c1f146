"""Texts that are encoded part by part, and no further than they are read, have the pieces of the whole text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel

from bertkit.core.errors import InputError
from bertkit.text import long_texts
from bertkit.text import tokenizer as tokenizers
from bertkit.text.byte_pairs import ByteLevelPairs
from bertkit.text.long_texts import lengthened, shortened
from bertkit.text.sequences import EncodedExample
from bertkit.text.tokenizer import Tokenizer
from bertkit.text.wordpiece import ROBERTA
from byte_pairs import save_byte_pairs

LETTERS = "abcdeσςο日本語éé,.-'[]$"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, "the", "cat", "##s", "##at", "##e", "##σ"]
ATOMS = st.sampled_from(
    [
        *(
            "the",
            "cat",
            "cats",
            "a",
            " ",
            "  ",
            "\n",
            "\t",
            "\xa0",
            "\u3000",
            ",",
            ".",
            "'s",
            "-",
            "日",
            "本語",
            "。",
            "é",
        ),
        *("e\u0301", "\u0301\u0323", "Σ", "ΟΣ", "'", ":", "[MASK]", "[MA", "SK]", "[", "]", "<mask>", "\u200d", "\x00"),
        *("\xad", "İ", "😀", "x" * 30, "한", "각", "[unused0]"),
    ]
)
TEXTS = st.lists(ATOMS, max_size=60).map("".join)


def _tokenizers() -> Iterator[tuple[str, Tokenizer]]:
    folder = Path(mkdtemp())
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(WORDS)) + "\n")
    for follow in ("huggingface", "google"):
        for lowercase in (True, False):
            yield f"{follow} {lowercase}", Tokenizer.from_pretrained(folder / "vocab.txt", lowercase, follow)
    (folder / "modern").mkdir()
    save_byte_pairs(folder / "modern")
    yield "ModernBERT", Tokenizer.from_pretrained(folder / "modern")
    alphabet = sorted(ByteLevel.alphabet())
    merges = (("Ġ", "t"), ("t", "h"), ("th", "e"), ("Ġt", "h"), ("Ġth", "e"), ("c", "a"), ("Ġ", "Ġ"), ("x", "x"))
    vocabulary = (*ROBERTA.all, *alphabet, *map("".join, merges))
    for spaced in (False, True):
        pairs = ByteLevelPairs(vocabulary=vocabulary, merges=merges, add_prefix_space=spaced)
        yield f"RoBERTa {spaced}", Tokenizer(pairs)


TOKENIZERS = dict(_tokenizers())


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch):
    """Parts of some characters, so that all tests cut."""
    monkeypatch.setattr(long_texts, "PART_CHARACTERS", 24)
    monkeypatch.setattr(tokenizers, "PART_CHARACTERS", 24)
    monkeypatch.setattr(long_texts, "_LEAST_CHARACTERS", 6)
    monkeypatch.setattr(long_texts, "_CHARACTERS_A_PIECE", 2)


def _whole(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """What the library makes of it in one piece."""
    if hasattr(tokenizer.subwords, "rules"):
        text = tokenizer.subwords.rules.readable([text])[0]
    encoding = tokenizer._library.encode(text, add_special_tokens=False)
    return encoding.ids, encoding.offsets


@pytest.mark.parametrize("name", TOKENIZERS)
@given(text=TEXTS, room=st.integers(0, 20))
def test_pieces_and_offsets_are_those_of_the_whole_text(name: str, text: str, room: int):
    tokenizer = TOKENIZERS[name]
    ids, offsets = _whole(tokenizer, text)
    for some in (room, None):
        pieces = tokenizer.pieces(["a", text, ""], some)
        start, length = int(pieces.starts[1]), int(pieces.lengths[1])
        assert length == len(ids) or (some is not None and some < length < len(ids))
        assert pieces.ids[start : start + length].tolist() == ids[:length]
        assert list(map(tuple, pieces.offsets[start : start + length].tolist())) == offsets[:length]
        assert pieces.lengths[[0, 2]].tolist() == [len(_whole(tokenizer, "a")[0]), 0]


@pytest.mark.parametrize("name", TOKENIZERS)
@given(first=TEXTS, second=TEXTS, max_length=st.integers(4, 17))
def test_sequences_are_those_of_the_whole_texts(name: str, first: str, second: str, max_length: int):
    tokenizer = TOKENIZERS[name]
    for pair in (None, [second]):
        whole = tokenizer.encode_batch([first], pair)[0]
        cut = tokenizer.encode_batch([first], pair, max_length=max_length + (pair is not None))[0]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tokenizers, "characters_for", lambda room: 1 << 20)
            uncut = tokenizer.encode_batch([first], pair, max_length=max_length + (pair is not None))[0]
        assert _parts(cut) == _parts(uncut)
        assert len(whole) >= len(cut)


def _parts(example: EncodedExample) -> tuple[list[int], list[int], list[list[int]]]:
    return example.input_ids.tolist(), example.token_type_ids.tolist(), example.offsets.tolist()


LONG = {
    "a word": "x" * 30_000,
    "letters of a later Unicode": "𞤀" * 30_000,
    "emoji": "😀" * 20_000,
    "decomposed": "e\u0301" * 15_000,
    "marks": "e" + "\u0301" * 30_000,
    "controls": "the" + "\u200d" * 30_000 + "cat",
    "CJK": "日本語" * 10_000,
    "marks that are words": ".,-" * 10_000,
    "spaces": "the" + " " * 30_000 + "cat",
    "Thai": "ภาษาไทยก็" * 3_000,
    "two words": "x" * 30_000 + "-" + "y" * 30_000,
}


@pytest.mark.parametrize("name", [name for name in TOKENIZERS if "BERT" not in name])
@pytest.mark.parametrize("kind", LONG)
def test_runs_without_a_place_to_cut_are_shortened_and_nothing_else_changes(name: str, kind: str):
    tokenizer = TOKENIZERS[name]
    text = f"the {LONG[kind]} cats"
    ids, offsets = _whole(tokenizer, text)
    pieces = tokenizer.pieces([text])
    assert pieces.ids.tolist() == ids
    assert list(map(tuple, pieces.offsets.tolist())) == offsets


def test_a_long_run_costs_no_more_than_a_short_one():
    short, gaps = shortened("x" * 1_000_000 + "-" + "y" * 1_000_000)
    assert len(short) < 40_000
    assert sum(count for _, count in gaps) + len(short) == 2_000_001
    assert lengthened(np.array([[0, 5], [len(short) - 1, len(short)]], np.int32), gaps).tolist() == [
        [0, 5],
        [2_000_000, 2_000_001],
    ]


def test_added_tokens_in_a_long_run_are_found(tmp_path: Path):
    tokenizer = TOKENIZERS["huggingface True"]
    text = "x" * 20_000 + "[MASK]" + "y" * 20_000
    assert tokenizer.pieces([text]).ids.tolist() == _whole(tokenizer, text)[0]
    assert tokenizer.mask_token_id in tokenizer.pieces([text]).ids


def test_byte_pairs_refuse_a_run_that_is_too_long(monkeypatch: pytest.MonkeyPatch):
    tokenizer = TOKENIZERS["ModernBERT"]
    monkeypatch.setitem(tokenizer.subwords.__dict__, "cuts", replace(tokenizer.subwords.cuts, longest_run=100))
    with pytest.raises(InputError, match="500 characters without a space after 'xxx"):
        tokenizer.pieces(["x" * 500])
    assert len(tokenizer.pieces(["xx " * 500])) == 1


def test_only_what_is_read_is_encoded(monkeypatch: pytest.MonkeyPatch):
    tokenizer = TOKENIZERS["huggingface True"]
    seen: list[str] = []
    encode = tokenizers.encode_chunks

    def counted(library: Any, texts: list[str]) -> Any:
        seen.extend(texts)
        return encode(library, texts)

    monkeypatch.setattr(tokenizers, "encode_chunks", counted)
    pieces = tokenizer.pieces(["the cat " * 100_000], 10)
    assert pieces.lengths[0] > 10
    assert sum(map(len, seen)) < 200
