"""How predictions are shown: plain lines, and colours on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, TextIO

from rich.text import Text

from bertkit.core.console import terminal
from bertkit.inference.prediction_formats import Predicted, PredictionWriter

if TYPE_CHECKING:
    from bertkit.tasks.predictions import Mark

_COLOURS = ("green", "cyan", "magenta", "yellow", "blue", "red")
_MARGIN = 200
"""Characters of a long text that are shown on both sides of what is highlighted."""


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


def _joined(parts: Sequence[Text]) -> Text:
    return Text("  ").join(part for part in parts if part.plain)


def _line(text: str) -> str:
    """In one line."""
    return text.replace("\n", " ").replace("\r", " ")
