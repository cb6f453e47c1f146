"""The tokenizer that lies in a prepared folder."""

from __future__ import annotations

from pathlib import Path

from bertkit.foundation.errors import InputError
from bertkit.text.tokenizer import Tokenizer


def prepared_tokenizer(folder: Path, fingerprint: str) -> Tokenizer:
    """Read it, and make sure that it is the one of that fingerprint."""
    tokenizer = Tokenizer.from_pretrained(folder / "tokenizer")
    if tokenizer.fingerprint != fingerprint:
        raise InputError(f"{folder / 'tokenizer'} was changed since the corpus was prepared: prepare it again")
    return tokenizer
