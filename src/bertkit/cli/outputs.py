"""How predictions are written: JSON lines, tables, plain lines, and colours on a terminal."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from rich.text import Text

from bertkit.core.console import is_utf8, terminal, visible

if TYPE_CHECKING:
    from _csv import Writer as CsvWriter

    from bertkit.tasks.predictions import Mark, Prediction

_COLOURS = ("green", "cyan", "magenta", "yellow", "blue", "red")
_MARGIN = 200
"""Characters of a long text that are shown on both sides of what is highlighted."""


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
        self._has_names = False

    def write(self, one: Predicted) -> None:
        """A row, the names before the first."""
        row = {**one.record, **one.prediction.row()}
        if not self._has_names:
            self._writer.writerow([self._cell(name) for name in row])
            self._has_names = True
        self._writer.writerow([self._cell(value) for value in row.values()])

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


class Lines(PredictionWriter):
    """What is said, its probability and the text, between tabs."""

    def write(self, one: Predicted) -> None:
        """A line."""
        fields = [*one.prediction.fields(), *one.record.values()]
        print("\t".join(" ".join(str(field).split()) for field in fields), file=self._file)


class Highlighted(PredictionWriter):
    """For people: the prediction in colour, and where in the text it is."""

    def __init__(self, file: TextIO) -> None:
        super().__init__(file)
        self._console = terminal(file)
        self._colours: dict[str, str] = {}

    def write(self, one: Predicted) -> None:
        """A paragraph where the text is marked, else a line."""
        marks = one.prediction.marks
        first, *others = one.prediction.fields()
        values = [str(value) for value in one.record.values()]
        if not marks:
            said = Text(first or "nothing", style=f"bold {self._colour(first)}" if first else "dim")
            self._print(_joined([said, *(Text(field, style="dim") for field in others), *map(Text, values)]))
            return
        beside = [value for value in values if value != one.text]
        if beside:
            self._print(_joined([*map(partial(Text, style="bold"), beside), Text(", ".join(others), style="dim")]))
        self._print(self._marked(one.text, marks))

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)

    def _marked(self, text: str, marks: Sequence[Mark]) -> Text:
        """The text with its marks in the colours of their labels; what is far from all of them is left out."""
        shown = Text()
        low = max(0, marks[0].start - _MARGIN)
        end = low
        shown.append("… " if low else "", style="dim")
        for mark in marks:
            if mark.start - end > 2 * _MARGIN:
                shown.append(_line(text[end : end + _MARGIN]))
                shown.append(" … ", style="dim")
                end = mark.start - _MARGIN
            shown.append(_line(text[end : mark.start]))
            colour = self._colour(mark.label)
            shown.append(_line(text[mark.start : mark.end]), style=f"bold {colour}")
            shown.append(f" {mark.label}" if mark.label else "", style=f"dim {colour}")
            end = mark.end
        shown.append(_line(text[end : end + _MARGIN]))
        shown.append(" …" if end + _MARGIN < len(text) else "", style="dim")
        return shown

    def _colour(self, label: str) -> str:
        return self._colours.setdefault(label, _COLOURS[len(self._colours) % len(_COLOURS)])


def _json(value: object, *, ensure_ascii: bool = False) -> str:
    """As text what JSON has no type for, such as a table's dates."""
    return json.dumps(value, ensure_ascii=ensure_ascii, default=str)


def _joined(parts: Sequence[Text]) -> Text:
    return Text("  ").join(part for part in parts if part.plain)


def _line(text: str) -> str:
    """In one line."""
    return text.replace("\n", " ").replace("\r", " ")
