"""Pieces of many texts, each distinct piece of text between spaces encoded once."""
# N texts, C chunks, K distinct chunks, P pieces.

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np

from bertkit.foundation.ragged import run_positions, run_starts
from bertkit.text.pieces import Pieces


def encode_chunks(library: Any, texts: Sequence[str]) -> Pieces:
    """Exactly what the library makes of the texts, a run each: WordPiece does not look across an ASCII space."""
    if not texts:
        return Pieces.of([])
    # Joining by a space and splitting at spaces gives each text's chunks, one more than its spaces.
    chunks = " ".join(texts).split(" ")
    places: defaultdict[str, int] = defaultdict(count().__next__)  # a new chunk gets the next number
    numbers = np.fromiter(map(places.__getitem__, chunks), np.int64, len(chunks))  # (C,)
    distinct = Pieces.of(library.encode_batch(list(places), add_special_tokens=False))  # K runs
    lengths = distinct.lengths[numbers]  # (C,)
    chosen = run_positions(distinct.starts[numbers], lengths)  # (P,)
    counts = np.fromiter((text.count(" ") + 1 for text in texts), np.int64, len(texts))  # (N,)
    first = run_starts(counts)  # (N,) each text's first chunk
    characters = run_starts(np.fromiter(map(len, chunks), np.int64, len(chunks)) + 1)  # (C,)
    characters -= np.repeat(characters[first], counts)  # from where the text starts
    offsets = distinct.offsets[chosen] + np.repeat(characters, lengths)[:, None].astype(np.int32)
    text_lengths = np.add.reduceat(lengths, first)
    return Pieces(distinct.ids[chosen], offsets, run_starts(text_lengths), text_lengths)
