"""Token ids of many lines, each distinct piece of text between spaces and punctuation encoded once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import count, islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tokenizers
from numpy.typing import NDArray
from tokenizers.pre_tokenizers import WhitespaceSplit

from bertkit.text.growing_array import GrowingArray
from bertkit.text.long_lines import with_breaks
from bertkit.text.tokenizer import Tokenizer
from bertkit.text.valid_unicode import checked_utf8
from bertkit.text.wordpiece import CONTINUATION

_MARKS = ",.;\"-!?'():"
"""The usual marks, each of which BERT makes a word anyway; set apart, fewer distinct chunks remain."""
# No chunk has a space, so a text of chunks joined by this falls apart into the same chunks.
_SEPARATOR = " \0 "
_CHUNKS_PER_TEXT, _CHUNKS_PER_CALL = 1_000, 50_000
_MAX_CHUNKS = 500_000
_MAX_CHARS = 32_000_000


class ChunkEncoder:
    """Encodes lines exactly as the tokenizer does, only faster: WordPiece does not look across a space.

    Chunks are split at the ASCII space and around the usual marks; whatever else is white space, punctuation or control
    character lies inside a chunk, where the library deals with it. What is remembered is forgotten when it reaches half
    a million chunks.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._library = tokenizer.wordpiece.library_tokenizer([_SEPARATOR])
        self._separator_id: int = self._library.token_to_id(_SEPARATOR)
        # Letters and digits of ASCII need no cleaning but the lower case, and so only the library's WordPiece.
        self._plain_library = tokenizers.Tokenizer(self._library.model)
        self._plain_library.pre_tokenizer = WhitespaceSplit()
        self._continues = np.array([entry.startswith(CONTINUATION) for entry in tokenizer.wordpiece.vocabulary])
        self._rules = tokenizer.wordpiece.rules
        self._marks = [mark for mark in _MARKS if mark not in self._rules.looks_across]
        self._forget()

    def _forget(self) -> None:
        # K distinct chunks, P pieces
        self._numbers: defaultdict[str, int] = defaultdict(count().__next__)  # (K,) a new chunk gets the next number
        self._chars = 0
        self._lengths = GrowingArray(np.int64)  # (K,) pieces of each chunk
        self._starts = GrowingArray(np.int64)  # (K,) where they start in _pieces
        self._pieces = GrowingArray(np.uint32)  # (P,)

    def encode_lines(self, lines: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
        """Ids of all lines end to end (N,) and tokens of each line (len(lines),), without [CLS] and [SEP].

        Special tokens in a line are read as plain text. Raises `InputError` for text that is not valid Unicode.
        """
        if not lines:
            return np.empty(0, np.uint32), np.empty(0, np.int32)
        if len(self._numbers) > _MAX_CHUNKS or self._chars > _MAX_CHARS:
            self._forget()
        # C chunks, D of them distinct; the end of each line but the last is a chunk without pieces.
        places, distinct = _chunks(self._rules.readable(lines), self._marks)  # (C,) in `distinct` (D,)
        numbers = np.fromiter(map(self._numbers.__getitem__, distinct), np.int64, len(distinct))  # (D,)
        self._encode_new_chunks()
        lengths = self._lengths.values[numbers][places]  # (C,)
        ends = np.cumsum(lengths)  # (C,)
        # (C,) from a token's place in the result to that in _pieces
        shift = self._starts.values[numbers][places] - (ends - lengths)
        ids = self._pieces.values[np.arange(ends[-1]) + np.repeat(shift, lengths)]  # (N,)
        breaks = np.flatnonzero(places == distinct.index("\n")) if len(lines) > 1 else np.empty(0, np.int64)
        return ids, np.diff(ends[np.append(breaks, len(ends) - 1)], prepend=0).astype(np.int32)

    def _encode_new_chunks(self) -> None:
        chunks = list(islice(reversed(self._numbers), len(self._numbers) - len(self._lengths)))[::-1]
        if not chunks:
            return
        self._chars += sum(map(len, chunks))
        is_plain = np.fromiter((chunk.isascii() and chunk.isalnum() for chunk in chunks), bool, len(chunks))
        lengths = np.empty(len(chunks), np.int64)
        starts = np.empty(len(chunks), np.int64)
        for selected, encode in ((is_plain, self._encode_plain), (~is_plain, self._encode_any)):
            places = np.flatnonzero(selected)
            for first in range(0, len(places), _CHUNKS_PER_CALL):
                some = places[first : first + _CHUNKS_PER_CALL]
                ids, lengths[some] = encode([chunks[place] for place in some.tolist()])
                starts[some] = len(self._pieces) + np.cumsum(lengths[some]) - lengths[some]
                self._pieces.extend(ids)
        self._lengths.extend(lengths)
        self._starts.extend(starts)

    def _encode_plain(self, chunks: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Pieces of all chunks (P,) and of each (K,), for chunks of ASCII letters and digits."""
        texts = [text.lower() if self._rules.lowercase else text for text in _joined(chunks, " ")]
        encodings = self._plain_library.encode_batch_fast(texts, add_special_tokens=False)
        ids = np.concatenate([np.array(encoding.ids, np.uint32) for encoding in encodings])
        starts = np.flatnonzero(~self._continues[ids])
        assert len(starts) == len(chunks)
        return ids, np.diff(starts, append=len(ids))

    def _encode_any(self, chunks: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Pieces of all chunks (P,) and of each (K,)."""
        # A separator at the end of each text too: then every chunk ends at one.
        texts = [text + _SEPARATOR for text in _joined(chunks, _SEPARATOR)]
        encodings = self._library.encode_batch_fast(texts, add_special_tokens=False)
        ids = np.concatenate([np.array(encoding.ids, np.uint32) for encoding in encodings])
        separators = np.flatnonzero(ids == self._separator_id)
        lengths = np.diff(separators, prepend=-1) - 1
        assert len(lengths) == len(chunks)
        return ids[ids != self._separator_id], lengths


def _joined(chunks: list[str], separator: str) -> list[str]:
    return [
        separator.join(chunks[first : first + _CHUNKS_PER_TEXT]) for first in range(0, len(chunks), _CHUNKS_PER_TEXT)
    ]


def _chunks(lines: Sequence[str], marks: Sequence[str]) -> tuple[NDArray[np.int32], list[str]]:
    """Each chunk's place (C,) in the list of the distinct ones; a line break stands between two lines."""
    lines = with_breaks(lines)
    text = "\n".join(lines)
    if text.count("\n") >= len(lines):
        text = "\n".join(line.replace("\n", " ") for line in lines)  # white space of a line, like any other
    data = checked_utf8(text)  # in which replacing is ten times as fast as in a string that is not ASCII
    for mark in (*marks, "\n"):
        data = data.replace(mark.encode(), f" {mark} ".encode())
    data += b" "
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord(" ")) + 1
    # Arrow counts distinct strings without making a Python object for each chunk; each has the space behind it.
    offsets = np.concatenate(([0], ends))
    chunks = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data)).dictionary_encode()
    return chunks.indices.to_numpy(), pc.utf8_slice_codeunits(chunks.dictionary, 0, -1).to_pylist()
