"""Texts that are longer than the model reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bertkit.text.encoded_example import EncodedExample
from bertkit.text.tokenizer import Tokenizer


def cut_remarks(
    sequences: Sequence[EncodedExample],
    texts: Sequence[str],
    text_pairs: Sequence[str] | None,
    places: Sequence[str],
    tokenizer: Tokenizer,
    max_length: int,
) -> tuple[str, ...]:
    """How many of the texts or pairs lost their end to `max_length`; nothing where none did."""
    full = [index for index, sequence in enumerate(sequences) if len(sequence) == max_length]
    if not full:
        return ()
    lengths = tokenizer.pieces([texts[index] for index in full]).lengths + 2
    if text_pairs is not None:
        lengths += tokenizer.pieces([text_pairs[index] for index in full]).lengths + tokenizer.special_tokens.between
    cut = np.flatnonzero(lengths > max_length)
    if not len(cut):
        return ()
    count = f"{len(cut):,} of {len(sequences):,} texts are longer than max_length {max_length}: their ends are not read"
    return (f"{count} (the first: {places[full[cut[0]]]})",)
