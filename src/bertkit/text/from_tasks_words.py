"""Raw text as words, much as the CoNLL data has them."""

from __future__ import annotations

import re

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
