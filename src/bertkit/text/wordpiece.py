"""What decides a text's token ids, and the library object made from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from bertkit.foundation.errors import InputError
from bertkit.text import google_cleaning
from bertkit.text.reference import Reference
from bertkit.text.special_tokens import BERT, SpecialTokens
from bertkit.text.valid_unicode import with_noncharacters

SPECIAL_TOKENS = BERT.all
CONTINUATION = "##"

_MAX_CHARS_PER_WORD = {"huggingface": 100, "google": google_cleaning.MAX_CHARS_PER_WORD}


@dataclass(frozen=True, kw_only=True)
class WordPieceRules:
    """How BERT cleans a text before WordPiece sees it."""

    lowercase: bool = True
    strip_accents: bool | None = None
    """None follows `lowercase`, as BERT does."""

    clean_text: bool = True
    """Drop control characters and turn all white space into spaces."""

    handle_chinese_chars: bool = True
    """Make every CJK character a word."""

    follow: Reference = "huggingface"
    """Whose tokenizer decides where the two differ."""

    def __post_init__(self) -> None:
        if self.follow not in get_args(Reference):
            raise InputError(f"follow must be {' or '.join(get_args(Reference))}, got {self.follow!r}")

    @property
    def strips_accents(self) -> bool:
        """Whether accents are dropped, with None resolved."""
        return self.lowercase if self.strip_accents is None else self.strip_accents

    @property
    def max_chars_per_word(self) -> int:
        """A longer word is [UNK]."""
        return _MAX_CHARS_PER_WORD[self.follow]

    @property
    def looks_across(self) -> str:
        """ASCII marks that are words of their own, and yet what stands before one can depend on what follows it."""
        return google_cleaning.LOOKS_ACROSS if self.follow == "google" else ""

    def readable(self, texts: Sequence[str]) -> Sequence[str]:
        """The texts as the library takes them: for Google's tokenizer lone surrogates are characters like others."""
        return with_noncharacters(texts) if self.follow == "google" else texts

    def normalizer(self) -> normalizers.Normalizer:
        """The library's normaliser with these rules."""
        if self.follow == "google":
            return google_cleaning.google_normalizer(
                lowercase=self.lowercase, strip_accents=self.strips_accents, clean_text=self.clean_text
            )
        return normalizers.BertNormalizer(
            clean_text=self.clean_text,
            handle_chinese_chars=self.handle_chinese_chars,
            strip_accents=self.strip_accents,
            lowercase=self.lowercase,
        )

    def splitter(self) -> pre_tokenizers.PreTokenizer:
        """The library's splitter into words with these rules."""
        if self.follow == "google":
            return google_cleaning.google_splitter(handle_chinese_chars=self.handle_chinese_chars)
        return pre_tokenizers.BertPreTokenizer()


@dataclass(frozen=True, kw_only=True)
class WordPiece:
    """A vocabulary in id order with its rules; the added tokens are entries that are kept whole in a text."""

    special_tokens: ClassVar[SpecialTokens] = BERT

    vocabulary: tuple[str, ...]
    rules: WordPieceRules
    added_tokens: tuple[str, ...] = SPECIAL_TOKENS

    def __post_init__(self) -> None:
        entries = set(self.vocabulary)
        if missing := [token for token in SPECIAL_TOKENS if token not in entries]:
            raise InputError(f"the vocabulary has no {' '.join(missing)}: bertkit needs {' '.join(SPECIAL_TOKENS)}")
        if len(entries) != len(self.vocabulary):
            twice = next(t for t in self.vocabulary if self.vocabulary.count(t) > 1)
            raise InputError(f"the vocabulary names {twice!r} twice: every entry must be there once")

    @property
    def lowercase(self) -> bool:
        """Whether capital letters are read as small ones."""
        return self.rules.lowercase

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides the ids, whichever file it was read from."""
        parts = [
            list(self.vocabulary),
            self.rules.lowercase,
            self.rules.strips_accents,
            self.rules.clean_text,
            self.rules.handle_chinese_chars,
            *([] if self.rules.follow == "huggingface" else [self.rules.follow]),
        ]
        return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()

    def library_tokenizer(self, added_tokens: Sequence[str]) -> Any:
        """A `tokenizers.Tokenizer` that keeps `added_tokens` whole and reads everything else as plain text."""
        ids = {token: index for index, token in enumerate(self.vocabulary)}
        library = tokenizers.Tokenizer(
            models.WordPiece(
                ids,
                unk_token="[UNK]",
                continuing_subword_prefix=CONTINUATION,
                max_input_chars_per_word=self.rules.max_chars_per_word,
            )
        )
        library.normalizer = self.rules.normalizer()
        library.pre_tokenizer = self.rules.splitter()
        library.decoder = decoders.WordPiece(prefix=CONTINUATION)
        # Only programs that read our tokenizer.json use the post-processor; bertkit adds [CLS] and [SEP] in `sequence`.
        library.post_processor = processors.TemplateProcessing(
            single="[CLS]:0 $A:0 [SEP]:0",
            pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
            special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
        )
        library.add_special_tokens(list(added_tokens))
        return library
