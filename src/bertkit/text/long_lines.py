"""Lines of many megabytes without spaces: minified code, encoded data."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LONG_LINE_CHARS = 1_000_000
_BEFORE_PUNCTUATION = re.compile(r"(?<=[\x00-\x7f])(?=[!-&(-\-/;-@\[-\]_{-~])")


def with_breaks(lines: Sequence[str]) -> Sequence[str]:
    """Lines with a space before most ASCII punctuation marks of the very long ones.

    BERT splits words there anyway, so the words stay the same, but the library meets them in small parts: it takes up
    to 300 bytes of memory a character. The marks left out are those of `WordPieceRules.looks_across`.
    """
    if max(map(len, lines), default=0) <= _LONG_LINE_CHARS:
        return lines
    return [_BEFORE_PUNCTUATION.sub(" ", line) if len(line) > _LONG_LINE_CHARS else line for line in lines]
