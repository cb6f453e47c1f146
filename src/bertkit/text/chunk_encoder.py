"""Token ids of many lines, each distinct piece of text between spaces encoded once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bertkit.text.tokenizer import Tokenizer

_MAX_CHUNKS = 1_000_000
_MAX_CHARS = 32_000_000


class ChunkEncoder:
    """Encodes lines exactly as the tokenizer does, only faster: WordPiece does not look across a space.

    Chunks are split at the ASCII space alone; whatever else is white space or control character lies inside a chunk,
    where the library deals with it. What is remembered is forgotten when it reaches a million chunks.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._forget()

    def _forget(self) -> None:
        # K distinct chunks, P pieces
        self._index: dict[str, int] = {}
        self._chars = 0
        self._lengths: NDArray[np.int64] = np.empty(0, np.int64)  # (K,) pieces of each chunk
        self._starts: NDArray[np.int64] = np.empty(0, np.int64)  # (K,) where they start in _pieces
        self._pieces: NDArray[np.uint32] = np.empty(0, np.uint32)  # (P,)

    def encode_lines(self, lines: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
        """Ids of all lines end to end (N,) and tokens of each line (len(lines),), without [CLS] and [SEP].

        Special tokens in a line are read as plain text.
        """
        if not lines:
            return np.empty(0, np.uint32), np.empty(0, np.int32)
        # C chunks: joining by a space and splitting at spaces gives each line's chunks, one more than its spaces.
        chunks = " ".join(lines).split(" ")
        chunk_ends = np.cumsum(np.fromiter((line.count(" ") + 1 for line in lines), np.int64, len(lines)))
        if len(self._index) > _MAX_CHUNKS or self._chars > _MAX_CHARS:
            self._forget()
        if unseen := set(chunks).difference(self._index):
            self._learn(sorted(unseen))
        index = np.fromiter(map(self._index.__getitem__, chunks), np.int64, len(chunks))  # (C,)
        lengths = self._lengths[index]  # (C,)
        ends = np.cumsum(lengths)  # (C,)
        shift = self._starts[index] - (ends - lengths)  # (C,) from a token's place in the result to that in _pieces
        ids = self._pieces[np.arange(ends[-1]) + np.repeat(shift, lengths)]  # (N,)
        return ids, np.diff(ends[chunk_ends - 1], prepend=0).astype(np.int32)

    def _learn(self, chunks: list[str]) -> None:
        encoded = self._tokenizer.plain_ids(chunks)
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        pieces = np.fromiter((i for ids in encoded for i in ids), np.uint32, int(lengths.sum()))
        starts = len(self._pieces) + np.cumsum(lengths) - lengths
        self._index.update(zip(chunks, range(len(self._index), len(self._index) + len(chunks)), strict=True))
        self._chars += sum(map(len, chunks))
        self._lengths = np.concatenate([self._lengths, lengths])
        self._starts = np.concatenate([self._starts, starts])
        self._pieces = np.concatenate([self._pieces, pieces])
