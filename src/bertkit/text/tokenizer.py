"""The tokenizer: text to ids and back, trained, loaded and saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import InputError
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
        first = self._pieces(library, texts)
        if text_pairs is None:
            return self._sequences.build(first, None, max_length)
        assert len(texts) == len(text_pairs)
        return self._sequences.build(first, self._pieces(library, text_pairs), max_length)

    def pieces(self, texts: Sequence[str]) -> Pieces:
        """Encode texts, in order, without [CLS] and [SEP], for windows of long texts; see `join`."""
        if not isinstance(self.subwords, WordPiece):
            return self._pieces(self._library, texts)
        with _naming_bad_texts(texts):
            return encode_chunks(self._library, self.subwords.rules.readable(texts))

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

    def _pieces(self, library: Any, texts: Sequence[str]) -> Pieces:
        with _naming_bad_texts(texts):
            if isinstance(self.subwords, WordPiece):
                texts = self.subwords.rules.readable(texts)
            return Pieces.of(library.encode_batch(texts, add_special_tokens=False))

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
