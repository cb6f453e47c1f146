"""Plain text: valid Unicode, sentences, words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bertkit.core.errors import InputError

_SURROGATE = re.compile("[\ud800-\udfff]")


def checked_utf8(text: str) -> bytes:
    """The text in UTF-8; raises `InputError` for a lone surrogate, which JSON's escapes can bring into a text."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 20) : error.start]
        raise InputError(f"the text has a lone surrogate, not valid Unicode, after {near!r}: replace it") from None


def with_noncharacters(texts: Sequence[str]) -> list[str]:
    """Texts with U+FFFF in place of lone surrogates: it too is no letter, mark or control, and in no vocabulary."""
    return [text if text.isascii() else _SURROGATE.sub("\uffff", text) for text in texts]


def split_sentences(text: str) -> list[str]:
    """Split English text into sentences without the white space around them; no other character is lost.

    Uses nupunkt's Punkt model (Kiss and Strunk, 2006); docs/tokenisation.md compares it with other libraries.
    """
    from nupunkt import sent_spans  # noqa: PLC0415  # its model is read only where paragraphs are split

    sentences = (text[start:stop].strip() for start, stop in sent_spans(text))
    return [sentence for sentence in sentences if sentence]


_WORD = re.compile(
    r"""
    (?:[^\W\d_]\.){2,}                                   # U.N.
    | ['’](?:s|S)\b                                      # of company's
    | \w+ (?: [.&/@_-]\w+ | ['’](?!(?:s|S)\b)\w+ | (?<=\d)[,:](?=\d)\w+ )*   # AT&T, O'Brien, 1,000, 1996-08-22
    | \S                                                 # a mark
    """,
    re.VERBOSE,
)


def split_words(text: str) -> tuple[tuple[int, int], ...]:
    """Start and end of each word, in characters; marks at a word's ends are words of their own."""
    return tuple(match.span() for match in _WORD.finditer(text))
