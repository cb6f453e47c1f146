"""Which repeated text `prepare` leaves out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from bertkit.foundation.errors import InputError

Repeated = Literal["lines", "documents", "both"]


@dataclass(frozen=True, kw_only=True)
class DuplicateOptions:
    """Text of which only the first occurrence stays. Text is the same where its token ids are."""

    drop_duplicates: Repeated | None = None
    """Leave out "lines" that stood anywhere before, "documents" with the very lines of an earlier one, or "both"."""

    drop_near_duplicates: float | None = None
    """Leave out documents that share about so much with an earlier one: Jaccard similarity of windows, by MinHash."""

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
        """What is not the default, for a manifest: folders of older versions know no duplicates."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def of(cls, options: dict[str, Any]) -> DuplicateOptions:
        """Take it from a manifest's options."""
        return cls(**{field.name: options.get(field.name) for field in fields(cls)})
