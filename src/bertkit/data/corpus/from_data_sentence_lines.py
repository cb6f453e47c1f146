"""Sentences as the lines of one text, and the documents that they belong to."""
# L lines.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertkit.data.raw_document import RawDocument
from bertkit.text.valid_unicode import checked_utf8

# White space to Python, but not to every tokenizer.
_ODD_SPACES = (b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x1f")
_NEXT_LINE = "\x85".encode()
_STARTS_SPACE = np.zeros(256, bool)
_STARTS_SPACE[[9, 13, 32, 0xC2, 0xE1, 0xE2, 0xE3]] = True  # first bytes of white space in UTF-8


@dataclass(frozen=True, eq=False)
class SentenceLines:
    """Lines of `text`, UTF-8, in which a tokenizer finds a sentence or nothing."""

    text: bytes
    documents: NDArray[np.int64]
    """(L,) the number of each line's document, ascending; those of some numbers have no line."""

    @classmethod
    def of_documents(cls, documents: Iterable[RawDocument]) -> SentenceLines:
        """The sentences of documents."""
        sentences = [document.sentences() for document in documents]
        lines = [sentence for document in sentences for sentence in document]
        owners = np.repeat(np.arange(len(sentences)), np.array([len(document) for document in sentences], np.int64))
        return cls(checked_utf8("\n".join(lines)), owners if lines else np.zeros(1, np.int64))

    @classmethod
    def of_text(cls, text: bytes) -> SentenceLines | None:
        """Lines that are sentences already, blank ones between documents; None if what surrounds one is not plain."""
        if any(space in text for space in _ODD_SPACES) or (_NEXT_LINE[1:] in text and _NEXT_LINE in text):
            return None
        data = np.frombuffer(text, np.uint8)
        breaks = np.flatnonzero(data == ord("\n"))
        starts, ends = np.append(0, breaks + 1), np.append(breaks, len(data))
        blank = starts == ends
        if len(data):
            for line in np.flatnonzero(_STARTS_SPACE[data[np.minimum(starts, len(data) - 1)]] & ~blank).tolist():
                blank[line] = text[starts[line] : ends[line]].decode().isspace()
        return cls(text, np.cumsum(blank))

    @classmethod
    def joined(cls, parts: Sequence[SentenceLines]) -> SentenceLines:
        """All lines one after another; no document reaches over the end of a part."""
        before = np.cumsum([0, *(part.documents[-1] + 1 for part in parts[:-1])])
        documents = [part.documents + shift for part, shift in zip(parts, before, strict=True)]
        return cls(b"\n".join(part.text for part in parts), np.concatenate(documents))
