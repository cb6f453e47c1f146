"""Long texts: where they may be cut, and runs without a place to cut that are shortened, both without other pieces.

A library tokenizer takes up to 300 bytes of memory a character. Long texts are therefore encoded part by part, and no
further than they are read: pieces and offsets are those of the whole text (tests/text/test_long_texts.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import InputError

PART_CHARACTERS = 1 << 18
"""Of a text that is read whole: what is encoded at once."""
_LEAST_CHARACTERS = 1024
_CHARACTERS_A_PIECE = 12
"""Seldom are there more; where there are, a text is read on."""

_SPACES = r" \t\n\r"
_MARKS = r"!-/:-@\[-`{-~、。，！？；،؟۔।॥"
_CJK = r"\u3400-\u4dbf\u4e00-\u9fff"


def characters_for(room: int | None) -> int:
    """How much of a text is encoded first where its first `room` pieces are read, None for all."""
    return PART_CHARACTERS if room is None else max(_LEAST_CHARACTERS, _CHARACTERS_A_PIECE * room)


@dataclass(frozen=True)
class Cuts:
    """Where a text may be cut: neither part has other pieces than in the whole text."""

    pattern: re.Pattern[str]
    """Matches behind a place to cut."""
    kept: tuple[str, ...]
    """Added tokens, within and behind which there is no place to cut."""
    lead: str
    """What is put before a later part, so that the library does not take it for the start of a text."""
    longest_run: int | None
    """Characters between two places at most; None where `shortened` is of help."""

    @classmethod
    def of_words(cls, looks_across: str, *, chinese_characters: bool, kept: Sequence[str]) -> Cuts:
        """WordPiece's: before white space, before marks but those of `looks_across`, before CJK characters."""
        but = f"(?![{re.escape(looks_across)}])" if looks_across else ""
        chinese = _CJK if chinese_characters else ""
        return cls(re.compile(f"{but}[{_SPACES}{_MARKS}{chinese}]"), tuple(kept), "", None)

    @classmethod
    def of_byte_pairs(cls, kept: Sequence[str]) -> Cuts:
        """Those of GPT-2's pattern: between a word and white space or a mark."""
        pattern = re.compile(rf"(?<=\S)[{_SPACES}]|(?<=[^\W\d_])(?!')[{_MARKS}]")
        return cls(pattern, tuple(kept), "a", 1 << 20)

    def parts(self, text: str, size: int) -> Iterator[tuple[int, str]]:
        """Yield where each part of a text starts, and the part; the first has about `size` characters.

        Raises `InputError` for a run that cannot be cut and is too long to be encoded whole.
        """
        start = 0
        while start < len(text):
            stop = self._cut(text, start, size)
            if self.longest_run is not None and stop - start > PART_CHARACTERS + self.longest_run:
                raise InputError(
                    f"a text has {stop - start:,} characters without a space after {text[start : start + 20]!r}: put "
                    "spaces between its words"
                )
            yield start, text[start:stop]
            start, size = stop, min(4 * size, PART_CHARACTERS)

    def shortened(self, part: str) -> tuple[str, list[tuple[int, int]]]:
        """See `shortened`; a part stays as it is where that would change its pieces."""
        if self.longest_run is not None or any(token in part for token in self.kept):
            return part, []
        return shortened(part)

    def _cut(self, text: str, start: int, size: int) -> int:
        """The last place up to `size` characters behind `start`, else the first one after them, else the end."""
        if len(text) - start <= size:
            return len(text)
        stop = start + size
        while stop > start:
            low = max(start + 1, stop - _LEAST_CHARACTERS)
            for match in reversed([*self.pattern.finditer(text, low, stop + 1)]):
                if not self._is_kept(text, match.start()):
                    return match.start()
            stop = low - 1
        for match in self.pattern.finditer(text, start + size):
            if not self._is_kept(text, match.start()):
                return match.start()
        return len(text)

    def _is_kept(self, text: str, place: int) -> bool:
        """Whether an added token is on both sides of a place, or ends there: byte pairs start again behind it."""
        for token in self.kept:
            low = max(0, place - len(token))
            if text.find(token, low, place + len(token) - 1) >= 0:
                return True
        return False


_BLOCK = 4096
LONG_CHUNK = 4 * _BLOCK
"""Shorter texts stay as they are."""
_MANY = 256
"""More characters than a word may have that is not [UNK]."""


def shortened(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without the middles of words that are [UNK] for their length, and of long runs of marks or controls.

    Its pieces are those of the whole text. With it come where something was left out, in characters of the result, and
    how many characters, in order.
    """
    if len(text) <= LONG_CHUNK:
        return text, []
    kinds = [_kind(text[start : start + _BLOCK]) for start in range(0, len(text), _BLOCK)]
    parts: list[str] = []
    gaps: list[tuple[int, int]] = []
    length = 0
    for number, kind in enumerate(kinds):
        if kind and 0 < number < len(kinds) - 1 and kinds[number - 1] == kinds[number + 1] == kind:
            if gaps and gaps[-1][0] == length:
                gaps[-1] = (length, gaps[-1][1] + _BLOCK)
            else:
                gaps.append((length, _BLOCK))
            continue
        parts.append(text[number * _BLOCK : (number + 1) * _BLOCK])
        length += len(parts[-1])
    return "".join(parts), gaps


def lengthened(offsets: NDArray[np.int32], gaps: Sequence[tuple[int, int]]) -> NDArray[np.int32]:
    """Offsets (P, 2) in the whole text of those in a shortened one."""
    starts, ends = offsets[:, 0].copy(), offsets[:, 1].copy()
    for place, count in gaps:
        starts[offsets[:, 0] >= place] += count
        ends[offsets[:, 1] > place] += count
    return np.stack([starts, ends], 1)


def _kind(block: str) -> str:
    """What a block is all of: a word that is too long, marks of a letter, controls; nothing where it may be split."""
    counts = np.bincount(_classes()[np.frombuffer(block.encode("utf-32-le", "surrogatepass"), np.uint32)], minlength=4)
    if counts[_SPLITS]:
        return ""
    if counts[_IN_WORD] > _MANY:
        return "word"
    if not counts[_IN_WORD] and counts[_MARK] > _MANY:
        return "marks"
    return "controls" if counts[_CONTROL] == len(block) else ""


_SPLITS, _IN_WORD, _MARK, _CONTROL = range(4)
_CHINESE = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x30000))


@cache
def _classes() -> NDArray[np.uint8]:
    """What BERT makes of each code point: splits a word or may do so, is in a word, is an accent, is left out."""
    kinds = {"Mn": _MARK, "Cc": _CONTROL, "Cf": _CONTROL, "Mc": _IN_WORD, "Me": _IN_WORD}
    kinds |= dict.fromkeys(("Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Nl", "No", "Sm", "Sc", "Sk", "So"), _IN_WORD)
    categories = map(unicodedata.category, map(chr, range(0x110000)))
    table = np.fromiter((kinds.get(category, _SPLITS) for category in categories), np.uint8, 0x110000)
    for first, stop in _CHINESE:
        table[first:stop] = _SPLITS
    for character in map(chr, range(128)):
        if not character.isalnum() and not (ord(character) < 32 and character not in "\t\n\r"):
            table[ord(character)] = _SPLITS
    return table
