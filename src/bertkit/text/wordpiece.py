"""WordPiece vocabularies and the rules by which text is cleaned for them: Hugging Face's or Google's.

docs/tokenisation.md lists where Hugging Face's differ; tests/text/test_tokenisation_parity.py runs every character
through both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, get_args

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors

from bertkit.core.errors import InputError
from bertkit.text.long_texts import Cuts
from bertkit.text.plain_text import with_noncharacters

Reference = Literal["huggingface", "google"]
"""Hugging Face's BertTokenizer or google-research/bert's, which differ in rare cases (docs/tokenisation.md)."""


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """The special tokens of a model."""

    pad: str
    unk: str
    cls: str
    sep: str
    mask: str
    between: int = 1
    """How many `sep` there are between two segments."""
    second_type: int = 1
    """Token type of the second segment."""

    @property
    def all(self) -> tuple[str, ...]:
        """Every entry, each once."""
        return (self.pad, self.unk, self.cls, self.sep, self.mask)


BERT = SpecialTokens(pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]")
ROBERTA = SpecialTokens(pad="<pad>", unk="<unk>", cls="<s>", sep="</s>", mask="<mask>", between=2, second_type=0)
SPECIAL_TOKENS = BERT.all
CONTINUATION = "##"


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
        """ASCII marks that are words, though the word before one can depend on the word after it."""
        return _LOOKS_ACROSS if self.follow == "google" else ""

    def readable(self, texts: Sequence[str]) -> Sequence[str]:
        """The texts as the library takes them: for Google's tokenizer lone surrogates are characters like others."""
        return with_noncharacters(texts) if self.follow == "google" else texts

    def normalizer(self) -> normalizers.Normalizer:
        """The library's normaliser with these rules."""
        if self.follow == "google":
            return _google_normalizer(
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
            return _google_splitter(handle_chinese_chars=self.handle_chinese_chars)
        return pre_tokenizers.BertPreTokenizer()


@dataclass(frozen=True, kw_only=True)
class WordPiece:
    """A vocabulary in id order with its rules; its added tokens are never split."""

    special_tokens: ClassVar[SpecialTokens] = BERT

    vocabulary: tuple[str, ...]
    rules: WordPieceRules
    added_tokens: tuple[str, ...] = SPECIAL_TOKENS

    def __post_init__(self) -> None:
        entries = set(self.vocabulary)
        if missing := [token for token in SPECIAL_TOKENS if token not in entries]:
            raise InputError(f"the vocabulary has no {' '.join(missing)}: bertkit needs {' '.join(SPECIAL_TOKENS)}")
        if len(entries) != len(self.vocabulary):
            duplicate = next(t for t in self.vocabulary if self.vocabulary.count(t) > 1)
            raise InputError(f"the vocabulary has the duplicate entry {duplicate!r}: every entry must be unique")

    @property
    def lowercase(self) -> bool:
        """Whether capital letters are lowered."""
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

    @cached_property
    def cuts(self) -> Cuts:
        """Where texts may be cut."""
        rules = self.rules
        return Cuts.of_words(rules.looks_across, chinese_characters=rules.handle_chinese_chars, kept=self.added_tokens)

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
        # Only programs that read our tokenizer.json use the post-processor; bertkit adds both in sequences.py.
        library.post_processor = processors.TemplateProcessing(
            single="[CLS]:0 $A:0 [SEP]:0",
            pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
            special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
        )
        library.add_special_tokens(list(added_tokens))
        return library


_MAX_CHARS_PER_WORD = {"huggingface": 100, "google": 200}

_LOOKS_ACROSS = "'.:^`"
"""ASCII marks across which the lower case of a sigma depends on its neighbours (Unicode's Case_Ignorable)."""

_CONTROLS = r"[\p{Cc}\p{Cf}\x{FFFD}&&[^\t\n\r]]"
_SPACES = r"[\p{Z}\t\n\r]+"
_PUNCTUATION = r"!-/:-@\[-`{-~\p{P}"
_CJK = r"\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}"
_LETTER = r"[\p{Cased}&&[^\p{Case_Ignorable}]]"
# Python's `lower`, unlike the library's, knows the sigma that ends a word.
_LAST_SIGMA = rf"{_LETTER}\p{{Case_Ignorable}}*\KΣ(?!\p{{Case_Ignorable}}*{_LETTER})"
# The library's decomposition is older than this character.
_VOWEL_O, _ITS_PARTS = "\U00011938", "\U00011935\U00011930"


def _google_normalizer(*, lowercase: bool, strip_accents: bool, clean_text: bool) -> normalizers.Normalizer:
    """Drop control characters, lower the case, decompose and drop the marks."""
    steps: list[normalizers.Normalizer] = []
    if clean_text:
        steps.append(normalizers.Replace(Regex(_CONTROLS), ""))
    if lowercase:
        steps += [normalizers.Replace(Regex(_LAST_SIGMA), "ς"), normalizers.Lowercase()]
    if strip_accents:
        parts = normalizers.Replace(_VOWEL_O, _ITS_PARTS)
        steps += [parts, normalizers.NFD(), normalizers.Replace(Regex(r"\p{Mn}"), "")]
    return normalizers.Sequence(steps)


def _google_splitter(*, handle_chinese_chars: bool) -> pre_tokenizers.PreTokenizer:
    """Split at white space; every punctuation mark and every CJK character is a word."""
    alone = f"[{_PUNCTUATION}{_CJK if handle_chinese_chars else ''}]"
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_SPACES), "removed"), pre_tokenizers.Split(Regex(alone), "isolated")]
    )
