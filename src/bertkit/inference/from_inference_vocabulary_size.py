"""Whether a tokenizer belongs to a model."""

from __future__ import annotations

from pathlib import Path

from bertkit.foundation.console import note
from bertkit.foundation.errors import InputError

_ROUNDED_UP = 128
"""Tables of embeddings are rounded up to at most a multiple of this."""


def check_vocabulary_size(folder: Path, entries: int, rows: int) -> None:
    """Raise `InputError` for a vocabulary with more entries than the model has rows, and say so if it has far fewer."""
    if entries > rows:
        raise InputError(
            f"{folder}: the vocabulary has {entries:,} entries but the model knows {rows:,}: "
            "put the tokenizer files of this model beside it"
        )
    if rows - entries >= _ROUNDED_UP:
        note(
            f"{folder}: the vocabulary has {entries:,} entries but the model knows {rows:,}: "
            "are these the tokenizer files of this model?"
        )
