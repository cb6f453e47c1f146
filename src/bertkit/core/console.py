r"""What is printed while a command works: notes, progress bars, durations and counts in words.

The one place through which bertkit writes to a terminal. Texts, file names and column names may come from strangers:
what controls a terminal in them (C0, C1 and escape sequences, marks that turn the direction of writing) is shown as an
escape such as `\x1b`, on standard output where that is a terminal, on standard error always.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

from bertkit.core.errors import InputError

_SILENT_SECONDS = 30.0
"""Between two lines of progress where standard error is not a terminal."""


_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """The text with every character that controls a terminal written as an escape; line breaks and tabs stay."""
    return _CONTROLS.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


class _VisibleConsole(Console):
    """A console on which only its own styles control the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def terminal(file: TextIO | None = None) -> Console:
    """The console for tables and coloured text, on standard output unless `file` says otherwise.

    Square brackets in texts and labels are only themselves, not marks of a style.
    """
    return _VisibleConsole(file=file, highlight=False, markup=False)


def say(message: str) -> None:
    """Print lines on standard output: as they are to a file or a pipe, visible on a terminal."""
    print(visible(message) if sys.stdout.isatty() else message)


def note(message: str) -> None:
    """Print a line on standard error."""
    print(visible(message), file=sys.stderr)


def error_line(message: str) -> None:
    """Print a command's error on standard error, in one line."""
    note(f"bertkit: error: {' '.join(message.split())}")


def is_utf8(file: TextIO) -> bool:
    """Whether every character can be written to a stream."""
    return (getattr(file, "encoding", None) or "").lower().replace("_", "-") in ("utf-8", "utf8")


class _RateColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{_short(speed)} {self.unit}/s" if speed else "")


def _short(value: float) -> str:
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f}{suffix}"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


class ProgressBar:
    """One bar; `advance` moves it, `describe` changes the text after it."""

    def __init__(self, description: str, total: float | None, unit: str, done: float, bar: Progress | None) -> None:
        self._description, self._total, self._unit, self._bar = description, total, unit, bar
        self._task = bar.add_task(description, total=total, completed=int(done), details="") if bar else None
        self._done, self._before, self._start = done, done, time.monotonic()
        self._details = ""
        self._next_line = self._start + _SILENT_SECONDS

    def advance(self, amount: float = 1.0) -> None:
        """Count `amount` as done."""
        self._done += amount
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, amount)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _SILENT_SECONDS
            rate = (self._done - self._before) / (time.monotonic() - self._start)
            left = ""
            if self._total:
                left = f" of {_short(self._total)}, {(self._total - self._done) / max(rate, 1e-9):.0f} s left"
            details = f"; {self._details}" if self._details else ""
            note(f"{self._description}: {_short(self._done)}{left} ({_short(rate)} {self._unit}/s){details}")

    def expect(self, total: float) -> None:
        """Set the total, as far as it is known by now."""
        self._total = total
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=total)

    def describe(self, details: str) -> None:
        """Show `details` after the bar, or in the next line."""
        self._details = details
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, details=details)


@contextmanager
def progress(description: str, total: float | None, unit: str, done: float = 0.0) -> Iterator[ProgressBar]:
    """Show a bar with rate and time left; where standard error is not a terminal, a line now and then.

    `done` is what an earlier run did; it does not count for the rate.
    """
    if not sys.stderr.isatty():
        yield ProgressBar(description, total, unit, done, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        _RateColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[details]}"),
    )
    with Progress(*columns, console=_VisibleConsole(stderr=True)) as bar:
        yield ProgressBar(description, total, unit, done, bar)


def counted(count: int, what: str) -> str:
    """`1 document`, `2,000 documents`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(?P<d>[\d.]+)d)?(?:(?P<h>[\d.]+)h)?(?:(?P<m>[\d.]+)m)?(?:(?P<s>[\d.]+)s)?")


def parse_duration(text: str) -> float:
    """Seconds of "30m", "1h30m", "1.5h", "90s" or "2d"; raises `InputError` for anything else."""
    match = _DURATION.fullmatch(text.strip().lower())
    try:
        seconds = sum(float(number) * _UNITS[unit] for unit, number in match.groupdict("0").items()) if match else 0.0
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise InputError(f"{text!r} is not a duration: write 30m, 1h30m, 90s or 2d")
    return seconds


def format_duration(seconds: float) -> str:
    """Seconds in words of at most two units, such as 1h 30m."""
    whole = round(seconds)
    parts = []
    for unit, size in _UNITS.items():
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or f"{seconds:.1f}s"
