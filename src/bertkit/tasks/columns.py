"""Where a table keeps its texts and labels."""

from __future__ import annotations

from dataclasses import dataclass

from bertkit.foundation.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Columns by name, or by place from 0 where a file has no line of names."""

    text: str | int = "text"
    text_pair: str | int | None = None
    label: str | int = "label"
    header: bool = True

    def __post_init__(self) -> None:
        chosen = [column for column in (self.text, self.text_pair, self.label) if column is not None]
        for column in chosen:
            if chosen.count(column) > 1:
                raise InputError(f"column {column!r} is named twice: text, text pair and label are different columns")

    @classmethod
    def named(cls, text: str, text_pair: str | None, label: str, *, header: bool) -> Columns:
        """From what a person typed: without a header the names are places from 0."""
        if header:
            return cls(text=text, text_pair=text_pair, label=label)
        for column in (text, text_pair, label):
            if column is not None and not column.isdecimal():
                raise InputError(f"column {column!r} of a table without a header: give its place, counted from 0")
        return cls(
            text=int(text), text_pair=None if text_pair is None else int(text_pair), label=int(label), header=False
        )

    def changed(
        self,
        *,
        text: str | None = None,
        text_pair: str | None = None,
        label: str | None = None,
        header: bool | None = None,
    ) -> Columns:
        """These columns, but for what a person typed."""
        if all(change is None for change in (text, text_pair, label, header)):
            return self
        pair = self.text_pair if text_pair is None else text_pair
        return Columns.named(
            str(self.text if text is None else text),
            None if pair is None else str(pair),
            str(self.label if label is None else label),
            header=self.header if header is None else header,
        )
