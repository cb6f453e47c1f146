"""WordPiece vocabularies: trained from raw text, and which of their entries make words."""
# V vocabulary, n tokens, w words.

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import models, pre_tokenizers, trainers

from bertkit.core.errors import InputError
from bertkit.text.long_texts import LONG_CHUNK, shortened
from bertkit.text.pieces import distinct_chunks
from bertkit.text.plain_text import checked_utf8
from bertkit.text.wordpiece import CONTINUATION, SPECIAL_TOKENS, WordPieceRules

_MAX_DISTINCT_CHUNKS = 500_000
_TEXT_CHARS, _MAX_TEXT_CHARS = 2_000_000, 4_000_000
_WORDS_PER_LINE = 1_000
_MOST = 2**31 - 1
"""Ids are 32 bits wide."""


@dataclass(frozen=True, kw_only=True)
class VocabularyOptions:
    """How large a vocabulary is and what may enter it."""

    vocab_size: int = 30522
    min_frequency: int = 2
    """How often two pieces must be neighbours in the corpus to become one entry."""

    limit_alphabet: int = 1000
    """Most distinct characters; words with a rarer character are [UNK]."""

    def __post_init__(self) -> None:
        for name, value in (("min_frequency", self.min_frequency), ("limit_alphabet", self.limit_alphabet)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        for name, value in (("vocab_size", self.vocab_size), ("min_frequency", self.min_frequency)):
            if value > _MOST:
                raise InputError(f"{name} must be at most {_MOST:,}, got {value}")


def train_vocabulary(lines: Iterable[str], rules: WordPieceRules, options: VocabularyOptions) -> list[str]:
    """Entries in id order: special tokens, characters, `##` characters, then merges of the most frequent pairs.

    The same lines give the same entries. Raises `InputError` for a corpus without words and too small a size.
    """
    words = count_words(lines, rules)
    if not words:
        raise InputError("the corpus has no words: give a text with at least one")
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            characters[character] += count
    alphabet = set(sorted(characters, key=lambda c: (-characters[c], c))[: options.limit_alphabet])
    spelled = sorted(word for word in words if alphabet.issuperset(word))
    continuations = sorted({CONTINUATION + character for word in spelled for character in word[1:]})
    base = [*SPECIAL_TOKENS, *sorted(alphabet), *continuations]
    if options.vocab_size < len(base):
        raise InputError(
            f"vocab_size {options.vocab_size} cannot hold the corpus's {len(alphabet)} characters: "
            f"give at least {len(base)} or a smaller limit_alphabet"
        )
    library = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    # The trainer breaks ties between pairs by id and gives the ids of `##` characters in hash-map order, so its result
    # changes from run to run (huggingface/tokenizers issue 1794). Naming them up front fixes their ids and the result.
    trainer = trainers.WordPieceTrainer(
        vocab_size=options.vocab_size,
        min_frequency=options.min_frequency,
        special_tokens=base,
        show_progress=False,
    )
    library.train_from_iterator(_repeated(spelled, words), trainer)
    ids = library.get_vocab()
    return sorted(ids, key=ids.__getitem__)


def count_words(lines: Iterable[str], rules: WordPieceRules) -> Counter[str]:
    """Count each word after cleaning and splitting; memory holds the distinct words, not the lines."""
    normalizer, splitter = rules.normalizer(), rules.splitter()
    words: Counter[str] = Counter()
    chunks: Counter[str] = Counter()

    def fold() -> None:
        for chunk, count in chunks.items():
            if len(chunk) > LONG_CHUNK:
                chunk = shortened(chunk)[0]  # noqa: PLW2901  # words that are too long are not counted
            for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(chunk)):
                if len(word) <= rules.max_chars_per_word:
                    words[word] += count
        chunks.clear()

    # Each distinct chunk is cleaned once.
    for text in _texts(lines):
        places, distinct = distinct_chunks(checked_utf8(text), rules)
        chunks.update(dict(zip(distinct, np.bincount(places.to_numpy()).tolist(), strict=True)))
        if len(chunks) > _MAX_DISTINCT_CHUNKS or len(text) > _MAX_TEXT_CHARS:
            fold()
    fold()
    return words


def continuation_mask(vocabulary: Sequence[str]) -> NDArray[np.bool_]:
    """(V,) True for the `##` entries, which continue a word."""
    return np.array([entry.startswith(CONTINUATION) for entry in vocabulary])


@dataclass(frozen=True, kw_only=True, eq=False)
class WordEntries:
    """Which entries (V,) continue a word, and which are marks: neither a letter nor a digit in them, nor [UNK]."""

    continues: NDArray[np.bool_]
    is_mark: NDArray[np.bool_]

    @classmethod
    def of(cls, vocabulary: Sequence[str]) -> WordEntries:
        """Those of a vocabulary of WordPieces."""
        continues = continuation_mask(vocabulary)
        spelled = np.array([any(map(str.isalnum, entry)) for entry in vocabulary])
        return cls(continues=continues, is_mark=~spelled & ~continues)

    def words(
        self, ids: NDArray[np.unsignedinteger[Any]]
    ) -> tuple[NDArray[np.unsignedinteger[Any]], NDArray[np.int64], NDArray[np.int64]]:
        """Ids without marks, the bounds (w+1,) of the words among them, and where each word starts in `ids` (w,).

        A mark that is continued, as the sign of a currency by its number, is a word.
        """
        continues = self.continues[ids]
        is_mark = self.is_mark[ids]
        is_mark[:-1] &= ~continues[1:]
        places = np.flatnonzero(~is_mark)
        starts = np.flatnonzero(~continues[places])
        return ids[places], np.append(starts, len(places)), places[starts]


def _texts(lines: Iterable[str]) -> Iterator[str]:
    """Lines joined to texts of about equal size, larger only where a line is."""
    held: list[str] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size > _TEXT_CHARS:
            yield "\n".join(held)
            held, size = [], 0
    yield "\n".join(held)


def _repeated(spelled: list[str], counts: Counter[str]) -> Iterator[str]:
    for word in spelled:
        whole, rest = divmod(counts[word], _WORDS_PER_LINE)
        for times in [_WORDS_PER_LINE] * whole + [rest]:
            yield f"{word} " * times
