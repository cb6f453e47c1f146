"""The tokenizer: text to ids and back, trained, loaded and saved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import InputError
from bertkit.text.long_texts import PART_CHARACTERS, characters_for, lengthened
from bertkit.text.pieces import Pieces, encode_chunks
from bertkit.text.plain_text import checked_utf8
from bertkit.text.sequences import EncodedExample, SequenceBuilder
from bertkit.text.tokenizer_files import MODEL_MAX_LENGTH, Subwords, read_subwords, write_subwords
from bertkit.text.vocabulary import VocabularyOptions, continuation_mask, train_vocabulary
from bertkit.text.wordpiece import Reference, WordPiece, WordPieceRules


class Tokenizer:
    """BERT's WordPiece tokenizer, or RoBERTa's or ModernBERT's of bytes, over the `tokenizers` library."""

    def __init__(self, subwords: Subwords) -> None:
        self.subwords = subwords
        self._ids = {token: index for index, token in enumerate(subwords.vocabulary)}
        self._library = subwords.library_tokenizer(subwords.added_tokens)
        self.special_tokens = subwords.special_tokens
        self.fingerprint = subwords.fingerprint
        self.lowercase = subwords.lowercase
        self.vocab_size = len(subwords.vocabulary)
        self.pad_token_id = self._ids[self.special_tokens.pad]
        self.unk_token_id = self._ids[self.special_tokens.unk]
        self.cls_token_id = self._ids[self.special_tokens.cls]
        self.sep_token_id = self._ids[self.special_tokens.sep]
        self.mask_token_id = self._ids[self.special_tokens.mask]
        self._sequences = SequenceBuilder(
            cls_token_id=self.cls_token_id, sep_token_id=self.sep_token_id, special_tokens=self.special_tokens
        )

    @classmethod
    def train(
        cls,
        corpus: Iterable[str],
        vocab_size: int = 30522,
        lowercase: bool = True,
        min_frequency: int = 2,
        limit_alphabet: int = 1000,
        follow: Reference = "huggingface",
    ) -> Tokenizer:
        """Train on lines of text, read once; the same lines give the same vocabulary, `vocab_size` entries at most.

        `follow` says whose cleaning of text decides where Hugging Face's and Google's differ (docs/tokenisation.md).
        Raises `InputError` for an empty corpus and for a size that cannot hold the corpus's alphabet.
        """
        rules = WordPieceRules(lowercase=lowercase, follow=follow)
        options = VocabularyOptions(vocab_size=vocab_size, min_frequency=min_frequency, limit_alphabet=limit_alphabet)
        return cls(WordPiece(vocabulary=tuple(train_vocabulary(corpus, rules, options)), rules=rules))

    @classmethod
    def opened(cls, tokenizer: Tokenizer | str | Path) -> Tokenizer:
        """A tokenizer as it is, or the one of a path; see `from_pretrained`."""
        return tokenizer if isinstance(tokenizer, Tokenizer) else cls.from_pretrained(tokenizer)

    @classmethod
    def from_pretrained(
        cls, path: str | Path, lowercase: bool | None = None, follow: Reference | None = None
    ) -> Tokenizer:
        """Read a model or tokenizer folder, a `tokenizer.json` or a `vocab.txt`.

        Where `lowercase` or `follow` is None the files decide; a `vocab.txt` alone is cased if an entry has a capital
        letter, and follows Hugging Face. RoBERTa's folders, with `vocab.json` and `merges.txt`, and ModernBERT's are
        read too. Raises `InputError` for files that are missing, broken or of another kind.
        """
        return cls(read_subwords(Path(path), lowercase, follow))

    def save_pretrained(
        self, folder: str | Path, *, max_length: int = MODEL_MAX_LENGTH, token_types: bool = True
    ) -> None:
        """Write `tokenizer.json`, `tokenizer_config.json` and `vocab.txt` as Hugging Face's `AutoTokenizer` reads.

        `max_length` is the longest sequence of the model in that folder, `token_types` whether it takes token types.
        """
        write_subwords(self.subwords, Path(folder), max_length=max_length, token_types=token_types)

    @property
    def wordpiece(self) -> WordPiece:
        """The vocabulary of WordPieces; `InputError` where there are none."""
        if not isinstance(self.subwords, WordPiece):
            raise InputError("this is a tokenizer of bytes, not BERT's WordPiece: give a BERT tokenizer")
        return self.subwords

    def encode(
        self,
        text: str,
        text_pair: str | None = None,
        *,
        max_length: int | None = None,
        split_special_tokens: bool = False,
    ) -> EncodedExample:
        """Encode one text or pair; see `encode_batch`."""
        pairs = None if text_pair is None else [text_pair]
        return self.encode_batch([text], pairs, max_length=max_length, split_special_tokens=split_special_tokens)[0]

    def encode_batch(
        self,
        texts: Sequence[str],
        text_pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        split_special_tokens: bool = False,
    ) -> list[EncodedExample]:
        """Encode texts or pairs, in order, with [CLS] and [SEP], cut to `max_length` tokens longest segment first.

        A special token written in a text is that token unless `split_special_tokens`.
        Raises `InputError` if `max_length` has no room for [CLS] and [SEP] or a text is not valid Unicode.
        """
        library = self._plain_library if split_special_tokens else self._library

        def encode(some: Sequence[str]) -> Pieces:
            return Pieces.of(library.encode_batch(some, add_special_tokens=False))

        first, first_is_whole = self._encoded(encode, texts, max_length)
        if text_pairs is None:
            return self._sequences.build(first, None, max_length)
        assert len(texts) == len(text_pairs)
        second, second_is_whole = self._encoded(encode, text_pairs, max_length)
        if max_length is None:
            return self._sequences.build(first, second, None)
        # Which of two texts is longer decides which of them loses one token more.
        in_doubt = (first.lengths > max_length) & (second.lengths > max_length) & ~(first_is_whole & second_is_whole)
        for index in np.flatnonzero(in_doubt).tolist():
            counts = [sum(self._counts(encode, each[index])) for each in (texts, text_pairs)]
            first.lengths[index], second.lengths[index] = max_length - 1, max_length - 1
            (first if counts[0] > counts[1] else second).lengths[index] += 1
        return self._sequences.build(first, second, max_length)

    def pieces(self, texts: Sequence[str], room: int | None = None) -> Pieces:
        """Encode texts, in order, without [CLS] and [SEP], for windows of long texts; see `join`.

        Where only the first `room` pieces are read, a longer text has more than `room` here, but not all.
        """
        if not isinstance(self.subwords, WordPiece):
            return self._encoded(
                lambda some: Pieces.of(self._library.encode_batch(some, add_special_tokens=False)), texts, room
            )[0]
        return self._encoded(partial(encode_chunks, self._library), texts, room)[0]

    def join(self, first: Pieces, second: Pieces | None = None) -> list[EncodedExample]:
        """Put [CLS] and [SEP] around each run: `[CLS] first [SEP]`, or `[CLS] first [SEP] second [SEP]`."""
        return self._sequences.join(first, second)

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """Text of token ids, pieces joined and spaces before punctuation removed."""
        text: str = self._library.decode([int(i) for i in ids], skip_special_tokens=skip_special_tokens)
        return text

    def token_to_id(self, token: str) -> int | None:
        """Id of a vocabulary entry, None if there is no such entry."""
        return self._ids.get(token)

    def id_to_token(self, token_id: int) -> str:
        """Vocabulary entry of an id."""
        return self.subwords.vocabulary[token_id]

    def continuation_mask(self) -> NDArray[np.bool_]:
        """(vocab_size,) True for the `##` pieces, which continue a word."""
        return continuation_mask(self.wordpiece.vocabulary)

    def _encoded(
        self, encode: Callable[[Sequence[str]], Pieces], texts: Sequence[str], room: int | None
    ) -> tuple[Pieces, NDArray[np.bool_]]:
        """The pieces of each text (N runs), more than `room` of a text that has more, and whether they are all (N,)."""
        with _naming_bad_texts(texts):
            if isinstance(self.subwords, WordPiece):
                texts = self.subwords.rules.readable(texts)
            size = characters_for(room)
            long = [index for index, text in enumerate(texts) if len(text) > size]
            if not long:
                return encode(texts), np.ones(len(texts), bool)
            is_whole = np.ones(len(texts), bool)
            numbers = dict.fromkeys(long)
            found = [encode([text for index, text in enumerate(texts) if index not in numbers])]
            lengths = np.zeros(len(texts), np.int64)
            starts = np.zeros(len(texts), np.int64)
            short = np.setdiff1d(np.arange(len(texts)), long)
            lengths[short], starts[short] = found[0].lengths, found[0].starts
            before = len(found[0].ids)
            for index in long:
                starts[index] = before
                for part, is_last in self._parts(encode, texts[index], size):
                    found.append(part)
                    before += len(part.ids)
                    lengths[index] += len(part.ids)
                    if room is not None and lengths[index] > room:
                        is_whole[index] = is_last
                        break
            ids, offsets = (np.concatenate([getattr(part, name) for part in found]) for name in ("ids", "offsets"))
            return Pieces(ids, offsets, starts, lengths), is_whole

    def _parts(self, encode: Callable[[Sequence[str]], Pieces], text: str, size: int) -> Iterator[tuple[Pieces, bool]]:
        """The pieces of a long text part by part, one run each, with offsets in the text, and whether it ends there."""
        cuts = self.subwords.cuts
        for start, part in cuts.parts(text, size):
            lead = cuts.lead if start else ""
            given, gaps = cuts.shortened(part)
            pieces = encode([lead + given])
            first = len(encode([lead]).ids) if lead else 0
            ids, offsets = pieces.ids[first:], pieces.offsets[first:] - np.int32(len(lead))
            whole = np.array([len(ids)], np.int64)
            found = Pieces(ids, lengthened(offsets, gaps) + np.int32(start), np.zeros(1, np.int64), whole)
            yield found, start + len(part) == len(text)

    def _counts(self, encode: Callable[[Sequence[str]], Pieces], text: str) -> Iterator[int]:
        """How many pieces each part of a text has."""
        return (len(part.ids) for part, _ in self._parts(encode, text, PART_CHARACTERS))

    @cached_property
    def _plain_library(self) -> Any:
        return self.subwords.library_tokenizer([])


@contextmanager
def _naming_bad_texts(texts: Sequence[object]) -> Iterator[None]:
    """The library only says that one of them is not a string."""
    try:
        yield
    except (TypeError, AttributeError):
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {index} is {text!r}: give a string") from None
            checked_utf8(text)
        raise
