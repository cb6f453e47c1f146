"""Lines of many megabytes without spaces: minified code, encoded data."""

from __future__ import annotations

import re

_LONG_LINE_BYTES = 1_000_000
_BEFORE_PUNCTUATION = re.compile(rb"(?<=[\x00-\x7f])(?=[!-&(-\-/;-@\[-\]_{-~])")


def with_breaks(text: bytes) -> bytes:
    """UTF-8 text with a space before most ASCII punctuation marks in its very long lines.

    BERT splits words there anyway, so the words stay the same, but the library meets them in small parts: it takes up
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
