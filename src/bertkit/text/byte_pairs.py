"""Byte-pair encodings: RoBERTa's, from a vocabulary and merges, and ModernBERT's, from its `tokenizer.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors

from bertkit.core.errors import InputError
from bertkit.text.long_texts import Cuts
from bertkit.text.wordpiece import BERT, ROBERTA, SpecialTokens


@dataclass(frozen=True, kw_only=True)
class ByteLevelPairs:
    """A vocabulary in id order with the merges that build its entries from bytes (Radford et al. 2019).

    No text is unknown, and the entry of a word depends on whether a space comes before it.
    """

    special_tokens: ClassVar[SpecialTokens] = ROBERTA
    lowercase: ClassVar[bool] = False

    vocabulary: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    """In the order in which they are applied."""
    add_prefix_space: bool = False
    """Encode the first word of a text like one after a space."""
    added_tokens: tuple[str, ...] = ROBERTA.all
    mask_takes_space: bool = True
    """Whether a mask takes the space before it, as the word in its place would."""

    def __post_init__(self) -> None:
        entries = set(self.vocabulary)
        if missing := [token for token in self.special_tokens.all if token not in entries]:
            raise InputError(f"the vocabulary has no {' '.join(missing)}: RoBERTa's has {' '.join(ROBERTA.all)}")
        if len(entries) != len(self.vocabulary):
            raise InputError("the vocabulary has a duplicate entry: every entry must be unique")
        if strange := next((m for m in self.merges if m[0] not in entries or "".join(m) not in entries), None):
            raise InputError(
                f"the merge {' '.join(strange)} makes no entry of the vocabulary: take both from one model"
            )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides the ids, whichever file it was read from."""
        parts = [list(self.vocabulary), [list(merge) for merge in self.merges], self.add_prefix_space]
        return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()

    @cached_property
    def cuts(self) -> Cuts:
        """Where texts may be cut."""
        return Cuts.of_byte_pairs(self.added_tokens)

    def library_tokenizer(self, added_tokens: Sequence[str]) -> Any:
        """A `tokenizers.Tokenizer` that keeps `added_tokens` whole and reads everything else as plain text."""
        ids = {token: index for index, token in enumerate(self.vocabulary)}
        library = tokenizers.Tokenizer(
            models.BPE(ids, list(self.merges), continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False)
        )
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=self.add_prefix_space)
        library.decoder = decoders.ByteLevel()
        # It also takes the spaces out of the offsets; bertkit itself adds <s> and </s>, in text/sequences.py.
        library.post_processor = processors.RobertaProcessing(
            (ROBERTA.sep, ids[ROBERTA.sep]), (ROBERTA.cls, ids[ROBERTA.cls]), True, self.add_prefix_space
        )
        library.add_special_tokens(
            [
                tokenizers.AddedToken(token, lstrip=self.mask_takes_space and token == ROBERTA.mask, normalized=False)
                for token in added_tokens
            ]
        )
        return library


_DECIDES_IDS = ("normalizer", "pre_tokenizer", "model", "added_tokens")


@dataclass(frozen=True, kw_only=True)
class StoredBytePairs:
    """Byte pairs with BERT's special tokens, as ModernBERT's file has them, with its normalisation and spaces."""

    special_tokens: ClassVar[SpecialTokens] = BERT
    lowercase: ClassVar[bool] = False

    content: Mapping[str, Any]
    """What is in `tokenizer.json`."""

    def __post_init__(self) -> None:
        ids = self._ids
        if missing := [token for token in BERT.all if token not in ids]:
            raise InputError(f"the vocabulary has no {' '.join(missing)}: ModernBERT's has {' '.join(BERT.all)}")
        if sorted(ids.values()) != list(range(len(ids))):
            raise InputError("there are gaps or repeats in the ids: they must run from 0 to the vocabulary's size - 1")

    @cached_property
    def _ids(self) -> dict[str, int]:
        added = {token["content"]: token["id"] for token in self.content["added_tokens"]}
        return dict(self.content["model"]["vocab"]) | added

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Entries in the order of their ids."""
        return tuple(sorted(self._ids, key=self._ids.__getitem__))

    @property
    def added_tokens(self) -> tuple[str, ...]:
        """The special tokens, which mean something to the model."""
        return tuple(token["content"] for token in self.content["added_tokens"] if token.get("special"))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides the ids."""
        parts = [self.content.get(name) for name in _DECIDES_IDS]
        return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()

    @cached_property
    def cuts(self) -> Cuts:
        """Where texts may be cut."""
        return Cuts.of_byte_pairs([token["content"] for token in self.content["added_tokens"]])

    def library_tokenizer(self, added_tokens: Sequence[str]) -> Any:
        """A `tokenizers.Tokenizer` that keeps `added_tokens` whole and reads other special ones as plain text."""
        kept = [
            each for each in self.content["added_tokens"] if not each.get("special") or each["content"] in added_tokens
        ]
        content = json.dumps({**self.content, "added_tokens": kept, "post_processor": None})
        try:
            library = tokenizers.Tokenizer.from_str(content)
        except Exception as error:  # the library raises no type of its own
            raise InputError(f"tokenizer.json is not valid ({error}): copy the tokenizer again") from None
        library.no_truncation()
        library.no_padding()
        # It takes the spaces out of the offsets; bertkit itself adds [CLS] and [SEP], in text/sequences.py.
        library.post_processor = processors.ByteLevel(trim_offsets=True)
        return library
