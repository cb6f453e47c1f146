"""Token ids of many lines, each distinct piece of text between spaces and punctuation encoded once."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from itertools import count, islice

import numpy as np
import pyarrow as pa
import tokenizers
from numpy.typing import NDArray
from tokenizers.pre_tokenizers import WhitespaceSplit

from bertkit.core.arrays import run_positions, run_starts
from bertkit.text.long_texts import LONG_CHUNK, shortened
from bertkit.text.pieces import distinct_chunks
from bertkit.text.plain_text import checked_utf8
from bertkit.text.tokenizer import Tokenizer

# No chunk has a space, so a text of chunks joined by this is split into the same chunks.
_SEPARATOR = " \0 "
_CHUNKS_PER_TEXT, _CHUNKS_PER_CALL = 1_000, 50_000
_ID_BYTES = 4
_MAX_CHUNKS = 500_000
_MAX_CHARS = 32_000_000


class ChunkEncoder:
    """Encodes lines exactly as the tokenizer does, only faster: WordPiece does not look across a space.

    Chunks are split at the ASCII space and around the usual marks. Other white space, punctuation and control
    characters stay inside a chunk, for the library to handle. Encoded chunks are kept until there are half a million
    of them; then all are dropped.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._library = tokenizer.wordpiece.library_tokenizer([_SEPARATOR])
        self._separator_id: int = self._library.token_to_id(_SEPARATOR)
        # Chunks of ASCII letters and digits, lower-case already in an uncased vocabulary, need only WordPiece.
        self._plain_library = tokenizers.Tokenizer(self._library.model)
        self._plain_library.pre_tokenizer = WhitespaceSplit()
        self._continues = tokenizer.continuation_mask()
        self._rules = tokenizer.wordpiece.rules
        self._forget()

    def _forget(self) -> None:
        # K distinct chunks, P pieces
        self._numbers: defaultdict[str, int] = defaultdict(count().__next__)  # (K,) a new chunk gets the next number
        self._chars = 0
        self._pieces = array("I")  # (P,) of all chunks end to end
        self._bounds = array("i", [0])  # (K+1,) bytes of the pieces of all chunks before

    def encode_lines(self, lines: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
        """Ids of all lines end to end (N,) and tokens of each line (len(lines),), without [CLS] and [SEP].

        Special tokens in a line are read as plain text. Raises `InputError` for text that is not valid Unicode.
        """
        if not lines:
            return np.empty(0, np.uint32), np.empty(0, np.int32)
        text = "\n".join(lines)
        if text.count("\n") >= len(lines):
            text = "\n".join(line.replace("\n", " ") for line in lines)  # white space of a line, like any other
        return self.encode_text(checked_utf8(self._rules.readable([text])[0]))

    def encode_text(self, text: bytes) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
        """The same for the lines of a text in UTF-8, one more than its newlines."""
        if len(self._numbers) > _MAX_CHUNKS or self._chars > _MAX_CHARS:
            self._forget()
        # C chunks, D of them distinct; the end of each line but the last is a chunk without pieces.
        places, distinct = distinct_chunks(text, self._rules)  # (C,), (D,)
        numbers = np.fromiter(map(self._numbers.__getitem__, distinct), np.int32, len(distinct))  # (D,)
        self._encode_new_chunks()
        # Arrow gathers the chunks' pieces as strings of bytes.
        _, bounds, data = self._known_chunks().take(pa.array(numbers)).take(places).buffers()
        ends = np.frombuffer(bounds, np.int32, len(places) + 1)[1:] // _ID_BYTES  # (C,)
        ids = np.frombuffer(data, np.uint32, ends[-1]) if ends[-1] else np.empty(0, np.uint32)  # (N,)
        breaks = np.flatnonzero(places.to_numpy() == distinct.index("\n")) if b"\n" in text else np.empty(0, np.int64)
        return ids, np.diff(ends[np.append(breaks, len(ends) - 1)], prepend=0)

    def _known_chunks(self) -> pa.BinaryArray:
        """The pieces of every chunk (K,)."""
        buffers = (pa.py_buffer(self._bounds), pa.py_buffer(self._pieces))
        return pa.BinaryArray.from_buffers(pa.binary(), len(self._bounds) - 1, [None, *buffers])

    def _encode_new_chunks(self) -> None:
        chunks = list(islice(reversed(self._numbers), len(self._numbers) - len(self._bounds) + 1))[::-1]
        if not chunks:
            return
        self._chars += sum(map(len, chunks))
        chunks = [shortened(chunk)[0] if len(chunk) > LONG_CHUNK else chunk for chunk in chunks]
        is_plain = np.fromiter((chunk.isascii() and chunk.isalnum() for chunk in chunks), bool, len(chunks))
        # Plain chunks are encoded first, then all others; `back` undoes the order.
        order, plain = np.argsort(~is_plain, kind="stable"), np.count_nonzero(is_plain)
        encoded = []
        for places, encode in ((order[:plain], self._encode_plain), (order[plain:], self._encode_any)):
            for first in range(0, len(places), _CHUNKS_PER_CALL):
                encoded.append(encode([chunks[place] for place in places[first : first + _CHUNKS_PER_CALL].tolist()]))
        ids, lengths = (np.concatenate(parts) for parts in zip(*encoded, strict=True))
        back = np.argsort(order)
        self._pieces.frombytes(ids[run_positions(run_starts(lengths)[back], lengths[back])].tobytes())
        self._bounds.frombytes((self._bounds[-1] + _ID_BYTES * np.cumsum(lengths[back])).astype(np.int32).tobytes())

    def _encode_plain(self, chunks: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Pieces of all chunks (P,) and of each (K,), for chunks of ASCII letters and digits."""
        encodings = self._plain_library.encode_batch_fast(_joined(chunks, " "), add_special_tokens=False)
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
