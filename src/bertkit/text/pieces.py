"""Texts as pieces of words without special tokens; what repeats in a text is encoded once."""
# N texts, C chunks between spaces, D distinct chunks, P pieces, S runs of pieces.

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import run_positions, run_starts
from bertkit.text.wordpiece import WordPieceRules

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """S texts, or parts of texts, without [CLS] and [SEP]: run s is `lengths[s]` pieces from `starts[s]` on."""

    ids: NDArray[np.int32]
    """(P,)"""
    offsets: NDArray[np.int32]
    """(P, 2) where each piece starts and ends, in characters of its text."""
    starts: NDArray[np.int64]
    """(S,)"""
    lengths: NDArray[np.int64]
    """(S,)"""

    @classmethod
    def of(cls, encodings: Sequence[Any]) -> Pieces:
        """From the library's encodings, one run each."""
        lengths = np.array([len(encoding) for encoding in encodings], np.int64)
        total = int(lengths.sum())
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32, total)
        offsets = chain.from_iterable(chain.from_iterable(encoding.offsets for encoding in encodings))
        return cls(ids, np.fromiter(offsets, np.int32, 2 * total).reshape(-1, 2), run_starts(lengths), lengths)

    def __len__(self) -> int:
        return len(self.starts)

    def cut(self, lengths: NDArray[np.int64] | int) -> Pieces:
        """The first pieces of every run, at most `lengths` of them."""
        return Pieces(self.ids, self.offsets, self.starts, np.minimum(self.lengths, lengths))

    def parts(self, runs: NDArray[np.int64], starts: NDArray[np.int64], length: NDArray[np.int64]) -> Pieces:
        """Parts of `runs` from `starts` on, at most `length` pieces each."""
        lengths = np.minimum(self.lengths[runs] - starts, length)
        return Pieces(self.ids, self.offsets, self.starts[runs] + starts, lengths)


def encode_chunks(library: Any, texts: Sequence[str]) -> Pieces:
    """Exactly what the library makes of the texts, one run each: WordPiece does not look across an ASCII space."""
    if not texts:
        return Pieces.of([])
    # Joining by a space and splitting at spaces gives each text's chunks, one more than its spaces.
    chunks = " ".join(texts).split(" ")
    places: defaultdict[str, int] = defaultdict(count().__next__)  # a new chunk gets the next number
    numbers = np.fromiter(map(places.__getitem__, chunks), np.int64, len(chunks))  # (C,)
    distinct = Pieces.of(library.encode_batch(list(places), add_special_tokens=False))  # D runs
    lengths = distinct.lengths[numbers]  # (C,)
    chosen = run_positions(distinct.starts[numbers], lengths)  # (P,)
    counts = np.fromiter((text.count(" ") + 1 for text in texts), np.int64, len(texts))  # (N,)
    first = run_starts(counts)  # (N,) each text's first chunk
    characters = run_starts(np.fromiter(map(len, chunks), np.int64, len(chunks)) + 1)  # (C,)
    characters -= np.repeat(characters[first], counts)  # from where the text starts
    offsets = distinct.offsets[chosen] + np.repeat(characters, lengths)[:, None].astype(np.int32)
    text_lengths = np.add.reduceat(lengths, first)
    return Pieces(distinct.ids[chosen], offsets, run_starts(text_lengths), text_lengths)


_LONG_LINE_BYTES = 1_000_000
_BEFORE_PUNCTUATION = re.compile(rb"(?<=[\x00-\x7f])(?=[!-&(-\-/;-@\[-\]_{-~])")


def with_breaks(text: bytes) -> bytes:
    """UTF-8 text with a space before most ASCII punctuation marks in its very long lines.

    BERT splits words there anyway, so the words stay the same, but the library gets them in small parts: it needs up
    to 300 bytes of memory a character. The marks left out are those of `WordPieceRules.looks_across`.
    """
    start = 0
    while len(text) - start > _LONG_LINE_BYTES:
        end = text.rfind(b"\n", start, start + _LONG_LINE_BYTES + 1)
        if end < 0:
            lines = text.split(b"\n")
            return b"\n".join(
                _BEFORE_PUNCTUATION.sub(b" ", line) if len(line) > _LONG_LINE_BYTES else line for line in lines
            )
        start = end + 1
    return text


_MARKS = ",.;\"-!?'():"
"""The usual marks, which BERT makes words anyway; split off, they leave fewer distinct chunks."""


def distinct_chunks(text: bytes, rules: WordPieceRules) -> tuple[pa.Int32Array, list[str]]:
    """The index (C,) of each chunk in the list of distinct ones (D,), of a text in UTF-8; a line break is a chunk.

    No step of BERT's tokenisation looks from one chunk into another.
    """
    import pyarrow as pa  # noqa: PLC0415  # a tenth of a second that a loaded model does not need
    import pyarrow.compute as pc  # noqa: PLC0415

    text = with_breaks(text)
    if rules.lowercase:
        text = text.lower()  # only ASCII letters: it does not matter whether cleaning does it first or last
    for mark in (*(mark for mark in _MARKS if mark not in rules.looks_across), "\n"):
        text = text.replace(mark.encode(), f" {mark} ".encode())  # in bytes ten times as fast as in a string
    text = b"".join((b" ", text, b" "))
    starts = np.flatnonzero(np.frombuffer(text, np.uint8) == ord(" "))  # (C+1,) each chunk includes the space before it
    count, buffers = len(starts) - 1, (pa.py_buffer(starts), pa.py_buffer(text))
    chunks = pa.LargeStringArray.from_buffers(count, *buffers).dictionary_encode()
    return chunks.indices, pc.utf8_slice_codeunits(chunks.dictionary, 1).to_pylist()
