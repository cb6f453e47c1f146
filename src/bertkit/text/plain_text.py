"""Text that has no UTF-8 form."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bertkit.foundation.errors import InputError

_SURROGATE = re.compile("[\ud800-\udfff]")


def checked_utf8(text: str) -> bytes:
    """The text's UTF-8; raise `InputError` for a lone surrogate, which JSON's escapes can bring into a text."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 20) : error.start]
        raise InputError(f"the text has a lone surrogate, not valid Unicode, after {near!r}: replace it") from None


def with_noncharacters(texts: Sequence[str]) -> list[str]:
    """Texts with U+FFFF for lone surrogates: it too is neither letter, mark nor control, and in no vocabulary."""
    return [text if text.isascii() else _SURROGATE.sub("\uffff", text) for text in texts]
