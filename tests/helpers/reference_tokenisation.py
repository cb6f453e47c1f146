"""google-research/bert's tokenisation as a plain program, written from its description: an oracle."""

from __future__ import annotations

from collections.abc import Container, Iterator
from unicodedata import category, normalize

_CJK = [
    range(0x4E00, 0xA000),
    range(0x3400, 0x4DC0),
    range(0x20000, 0x2A6E0),
    range(0x2A700, 0x2B740),
    range(0x2B740, 0x2B820),
    range(0x2B820, 0x2CEB0),
    range(0xF900, 0xFB00),
    range(0x2F800, 0x2FA20),
]


def pieces(text: str, vocabulary: Container[str], lowercase: bool) -> list[str]:
    return [piece for word in words(text, lowercase) for piece in wordpieces(word, vocabulary)]


def words(text: str, lowercase: bool) -> Iterator[str]:
    for chunk in "".join(map(_cleaned, text)).split():
        small = _without_marks(chunk.lower()) if lowercase else chunk
        yield from "".join(f" {c} " if _is_punctuation(c) else c for c in small).split()


def wordpieces(word: str, vocabulary: Container[str]) -> list[str]:
    if len(word) > 200:
        return ["[UNK]"]
    found = []
    start = 0
    while start < len(word):
        prefix = "##" if start else ""
        stops = range(len(word), start, -1)
        stop = next((stop for stop in stops if prefix + word[start:stop] in vocabulary), None)
        if stop is None:
            return ["[UNK]"]
        found.append(prefix + word[start:stop])
        start = stop
    return found


def _cleaned(c: str) -> str:
    if c in "\t\n\r" or category(c) == "Zs":
        return " "
    if c in "\0\ufffd" or category(c) in ("Cc", "Cf"):
        return ""
    return f" {c} " if any(ord(c) in block for block in _CJK) else c


def _without_marks(text: str) -> str:
    return "".join(c for c in normalize("NFD", text) if category(c) != "Mn")


def _is_punctuation(c: str) -> bool:
    return category(c)[0] == "P" or (c.isascii() and c.isprintable() and c != " " and not c.isalnum())
