"""What decides a text's token ids, and the library object made from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from bertkit.foundation.errors import InputError
from bertkit.text.special_tokens import BERT, SpecialTokens

SPECIAL_TOKENS = BERT.all
CONTINUATION = "##"
MAX_CHARS_PER_WORD = 100


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

    @property
    def strips_accents(self) -> bool:
        """Whether accents are dropped, with None resolved."""
        return self.lowercase if self.strip_accents is None else self.strip_accents

    def normalizer(self) -> normalizers.Normalizer:
        """The library's normaliser with these rules."""
        return normalizers.BertNormalizer(
            clean_text=self.clean_text,
            handle_chinese_chars=self.handle_chinese_chars,
            strip_accents=self.strip_accents,
            lowercase=self.lowercase,
        )


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
                max_input_chars_per_word=MAX_CHARS_PER_WORD,
            )
        )
        library.normalizer = self.rules.normalizer()
        library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        library.decoder = decoders.WordPiece(prefix=CONTINUATION)
        # Only programs that read our tokenizer.json use the post-processor; bertkit adds [CLS] and [SEP] in `sequence`.
        library.post_processor = processors.TemplateProcessing(
            single="[CLS]:0 $A:0 [SEP]:0",
            pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
            special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
        )
        library.add_special_tokens(list(added_tokens))
        return library
