"""The formats of files of predictions: JSON lines and tables."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from bertkit.core.console import is_utf8, visible

if TYPE_CHECKING:
    from _csv import Writer as CsvWriter

    from bertkit.tasks.predictions import Prediction


@dataclass(frozen=True)
class Predicted:
    """A prediction with what it is said of."""

    record: Mapping[str, Any]
    """The example by its columns, the id first where there is one."""
    text: str
    """What the prediction's marks are places in."""
    prediction: Prediction


class PredictionWriter(ABC):
    """Writes predictions to a file, one after another."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write_names(self, one: Predicted) -> None:  # noqa: B027  # only tables have any
        """Add the line that names the columns, where the format has one; before the first `write`."""

    @abstractmethod
    def write(self, one: Predicted) -> None:
        """Add one."""


class JsonLines(PredictionWriter):
    """An object a line with all there is to say."""

    def write(self, one: Predicted) -> None:
        """A line."""
        fields = {**one.record, **asdict(one.prediction)}  # type: ignore[call-overload]
        line = _json(fields, ensure_ascii=not is_utf8(self._file))
        print(visible(line) if self._file.isatty() else line, file=self._file)


_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a cell a formula to spreadsheets (OWASP, CSV injection)."""


class Delimited(PredictionWriter):
    """A table with a line of names; lists are JSON. A TSV has no quotes: white space in a cell becomes one space.

    With `escape_formulas` a text that a spreadsheet would take for a formula gets an apostrophe before it.
    """

    def __init__(self, file: TextIO, *, tabs: bool = False, escape_formulas: bool = False) -> None:
        super().__init__(file)
        self._tabs, self._escape_formulas = tabs, escape_formulas
        rules: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None} if tabs else {}
        self._writer: CsvWriter = csv.writer(file, lineterminator="\n", **rules)

    def write_names(self, one: Predicted) -> None:
        """The columns' names."""
        self._writer.writerow([self._cell(name) for name in _row(one)])

    def write(self, one: Predicted) -> None:
        """A row."""
        self._writer.writerow([self._cell(value) for value in _row(one).values()])

    def _cell(self, value: object) -> object:
        if isinstance(value, float):
            return f"{value:.6g}"
        if isinstance(value, list | tuple | dict):
            value = _json(value)
        if not isinstance(value, str):
            return value
        if self._escape_formulas and value.lstrip(" ").startswith(_FORMULA_STARTS):
            value = f"'{value}"
        return " ".join(value.split()) if self._tabs else value


PREDICTION_FORMATS: dict[str, Callable[..., PredictionWriter]] = {
    ".jsonl": JsonLines,
    ".csv": Delimited,
    ".tsv": partial(Delimited, tabs=True),
}
"""By the suffix of the file."""


def _row(one: Predicted) -> dict[str, Any]:
    return {**one.record, **one.prediction.row()}


def _json(value: object, *, ensure_ascii: bool = False) -> str:
    """As text what JSON has no type for, such as a table's dates."""
    return json.dumps(value, ensure_ascii=ensure_ascii, default=str)
