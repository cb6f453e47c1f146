"""RoBERTa's pairs of bytes: what decides a text's token ids, and the library object made from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors

from bertkit.foundation.errors import InputError
from bertkit.text.special_tokens import ROBERTA, SpecialTokens


@dataclass(frozen=True, kw_only=True)
class ByteLevelPairs:
    """A vocabulary in id order with the merges that build its entries from bytes (Radford et al. 2019).

    Nothing is unknown, and a word's entry depends on whether a space stands before it.
    """

    special_tokens: ClassVar[SpecialTokens] = ROBERTA
    lowercase: ClassVar[bool] = False

    vocabulary: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    """In the order in which they are tried."""
    add_prefix_space: bool = False
    """Read the first word of a text like those that follow a space."""
    added_tokens: tuple[str, ...] = ROBERTA.all
    mask_takes_space: bool = True
    """Whether the space before a mask is the mask's own, as if the word were there."""

    def __post_init__(self) -> None:
        entries = set(self.vocabulary)
        if missing := [token for token in self.special_tokens.all if token not in entries]:
            raise InputError(f"the vocabulary has no {' '.join(missing)}: RoBERTa's has {' '.join(ROBERTA.all)}")
        if len(entries) != len(self.vocabulary):
            raise InputError("the vocabulary names an entry twice: every entry must be there once")
        if strange := next((m for m in self.merges if m[0] not in entries or "".join(m) not in entries), None):
            raise InputError(
                f"the merge {' '.join(strange)} makes no entry of the vocabulary: take both from one model"
            )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides the ids, whichever file it was read from."""
        parts = [list(self.vocabulary), [list(merge) for merge in self.merges], self.add_prefix_space]
        return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()

    def library_tokenizer(self, added_tokens: Sequence[str]) -> Any:
        """A `tokenizers.Tokenizer` that keeps `added_tokens` whole and reads everything else as plain text."""
        ids = {token: index for index, token in enumerate(self.vocabulary)}
        library = tokenizers.Tokenizer(
            models.BPE(ids, list(self.merges), continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False)
        )
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=self.add_prefix_space)
        library.decoder = decoders.ByteLevel()
        # It also takes the spaces from the offsets; bertkit itself adds <s> and </s> in `sequence`.
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
