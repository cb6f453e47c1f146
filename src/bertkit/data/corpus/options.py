"""Options of preparing a corpus: how text is read, what is left out, and with how many processes.

Apart from what uses them, since the command line shows them at `--help`, before NumPy and tokenizers are imported.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from bertkit.core.arguments import checked
from bertkit.core.errors import InputError
from bertkit.core.workers import EngineOptions
from bertkit.data.readers.text import EncodingErrors

Repeated = Literal["lines", "documents", "both"]


@checked
@dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """How files are read as documents of sentences."""

    lines: str = "sentence"
    """What one line of a text file is: a "sentence" or a "paragraph", with a blank line between documents, or a whole
    "document"."""

    text_column: str = "text"
    """Column of CSV, TSV, JSONL, Parquet and hub rows; every row is a document."""

    encoding_errors: EncodingErrors = "strict"
    """How bytes that are not UTF-8 are read: "strict" refuses them, "replace" puts U+FFFD."""

    split: str = "train"
    """Split of a hub data set."""

    def __post_init__(self) -> None:
        if self.lines not in ("sentence", "paragraph", "document"):
            raise InputError(f"lines must be sentence, paragraph or document, got {self.lines!r}")
        if self.encoding_errors not in ("strict", "replace"):
            raise InputError(f"encoding_errors must be strict or replace, got {self.encoding_errors!r}")


@checked
@dataclass(frozen=True, kw_only=True)
class DuplicateOptions:
    """Text of which only the first occurrence stays; it is compared by token ids."""

    drop_duplicates: Repeated | None = None
    """Leave out "lines" that occurred before, "documents" with exactly the lines of an earlier one, or "both"."""

    drop_near_duplicates: float | None = None
    """Leave out documents at least about this similar to an earlier one: Jaccard similarity of windows, by MinHash."""

    def __post_init__(self) -> None:
        if self.drop_duplicates not in (None, *get_args(Repeated)):
            raise InputError(f"drop_duplicates must be {', '.join(get_args(Repeated))}, got {self.drop_duplicates!r}")
        if self.drop_near_duplicates is not None and not 0.3 <= self.drop_near_duplicates <= 1:
            raise InputError(f"drop_near_duplicates must lie in [0.3, 1], got {self.drop_near_duplicates}")

    @property
    def lines(self) -> bool:
        """Whether lines are left out."""
        return self.drop_duplicates in ("lines", "both")

    @property
    def documents(self) -> bool:
        """Whether documents are left out that are the same as an earlier one."""
        return self.drop_duplicates in ("documents", "both")

    @property
    def any(self) -> bool:
        """Whether anything is left out."""
        return self != DuplicateOptions()

    def record(self) -> dict[str, Any]:
        """What is not the default, for a manifest: folders of older versions have no such options."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def of(cls, options: dict[str, Any]) -> DuplicateOptions:
        """Read them from a manifest's options."""
        return cls(**{field.name: options.get(field.name) for field in fields(cls)})


@checked
@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """How a corpus is prepared."""

    corpus: CorpusOptions = field(default_factory=CorpusOptions)
    duplicates: DuplicateOptions = field(default_factory=DuplicateOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)
    workers: int = 1
    """Processes that tokenise; the result does not depend on their number."""

    overwrite: bool = False
    """Replace what was prepared from another corpus or with other options."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError(f"workers must be at least 1, got {self.workers}")
