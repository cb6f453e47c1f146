"""Text that has no UTF-8 form."""

from __future__ import annotations

from bertkit.foundation.errors import InputError


def check_unicode(text: str) -> None:
    """Raise `InputError` for a lone surrogate, which JSON's escapes can bring into a text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 20) : error.start]
        raise InputError(f"the text has a lone surrogate, not valid Unicode, after {near!r}: replace it") from None
