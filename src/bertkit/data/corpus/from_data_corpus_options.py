"""How a corpus is read."""

from __future__ import annotations

from dataclasses import dataclass

from bertkit.data.text_stream import EncodingErrors
from bertkit.foundation.errors import InputError


@dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """How files are read as documents of sentences."""

    lines: str = "sentence"
    """What a line of a text file is: a "sentence" or a "paragraph", a blank line between documents, or a "document"."""

    text_column: str = "text"
    """Column of CSV, TSV, JSONL, Parquet and hub rows; every row is a document."""

    encoding_errors: EncodingErrors = "strict"
    """What becomes of bytes that are not UTF-8: "strict" refuses them, "replace" puts U+FFFD."""

    split: str = "train"
    """Split of a hub data set."""

    def __post_init__(self) -> None:
        if self.lines not in ("sentence", "paragraph", "document"):
            raise InputError(f"lines must be sentence, paragraph or document, got {self.lines!r}")
        if self.encoding_errors not in ("strict", "replace"):
            raise InputError(f"encoding_errors must be strict or replace, got {self.encoding_errors!r}")
