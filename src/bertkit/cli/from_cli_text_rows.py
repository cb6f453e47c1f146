"""Texts with their ids, for `embed` and `features`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

from bertkit.cli.texts import InputOptions, TextRowOptions, read_text_chunks
from bertkit.data.rows import RowOptions, read_rows
from bertkit.data.sources import no_rows, resolve_sources
from bertkit.foundation.errors import InputError
from bertkit.inference.text_row import TextRow


class TextRows:
    """The texts of the arguments, or of the input, one after another; the first one is read at once."""

    def __init__(self, arguments: Sequence[str], options: InputOptions) -> None:
        self._options, self._read_bytes = options, 0
        column = options.id if isinstance(options, TextRowOptions) else None
        rows = self._numbered(arguments, options) if column is None else self._named(arguments, options, column)
        first = next(rows, None)
        if first is None:
            raise no_rows(options.input)
        self._rows = chain([first], rows)

    def __iter__(self) -> Iterator[TextRow]:
        return self._rows

    def share_read(self) -> float | None:
        """How much of the input has been read; None where its size is not known."""
        return min(1.0, self._read_bytes / self._total_bytes) if self._total_bytes else None

    @cached_property
    def _total_bytes(self) -> int:
        """Of the input's files; 0 where nobody knows."""
        if self._options.input in (None, "-"):
            return 0
        return sum(source.num_bytes for source in resolve_sources([str(self._options.input)]))

    def _see(self, count: int) -> None:
        self._read_bytes += count

    def _numbered(self, arguments: Sequence[str], options: InputOptions) -> Iterator[TextRow]:
        texts = chain.from_iterable(read_text_chunks(arguments, options, self._see))
        for number, text in enumerate(texts, 1):
            assert isinstance(text, str)
            yield TextRow(number, text)

    def _named(self, arguments: Sequence[str], options: InputOptions, column: str) -> Iterator[TextRow]:
        if arguments or options.text is None or options.input in (None, "-"):
            raise InputError("--id names a table's column: give the table with --input FILE and its texts with --text")
        rows = RowOptions(columns=(options.text, column), encoding_errors=options.encoding_errors)
        kind: type | None = None
        for source in resolve_sources([str(options.input)]):
            for number, (text, one) in read_rows(source, rows, self._see):
                here = f"{source.origin}, row {number}"
                if not isinstance(text, str):
                    raise InputError(f"{here}: column {options.text!r} is {text!r}, not a text")
                kind = _checked_kind(one, kind, f"{here}: column {column!r}")
                yield TextRow(one, text)


def _checked_kind(one: Any, kind: type | None, place: str) -> type:
    if type(one) not in (str, int):
        raise InputError(f"{place} is {one!r}: an id is a word or a whole number")
    if kind is not None and type(one) is not kind:
        raise InputError(f"{place} is {one!r}, and ids before it are {_NAMES[kind]}: give all of them one type")
    return type(one)


_NAMES = {str: "words", int: "whole numbers"}
