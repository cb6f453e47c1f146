"""What is printed, on a terminal and elsewhere."""

from __future__ import annotations

import ast
import io
import sys
import unicodedata
from pathlib import Path

import pytest
from rich.progress import Progress
from rich.table import Table

import bertkit
from bertkit.core import console
from bertkit.core.console import counted, visible

STRANGE = "x \x1b]0;title\x07\x1b[2J\x9b31m\u202egnirts\u2066\u200f\r\x7f\ud800"
"""Sets the title, clears the screen, starts red, turns the text round, returns to the line's start."""


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def _controls(text: str) -> list[str]:
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return [character for character in text if unicodedata.category(character) in kinds and character not in "\n\t"]


def test_a_line_without_a_terminal_has_rate_and_time_left_and_the_newest_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "_SILENT_SECONDS", 0.0)
    with console.progress("pre-training", 4, "steps") as bar:
        bar.advance()
        bar.describe("loss 6.5")
        bar.advance()
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("pre-training: 1 of 4, ") and "steps/s)" in first and "loss" not in first
    assert second.startswith("pre-training: 2 of 4, ") and second.endswith("; loss 6.5")


@pytest.mark.parametrize(("count", "words"), [(0, "0 shards"), (1, "1 shard"), (2, "2 shards"), (1200, "1,200 shards")])
def test_one_thing_is_not_many(count: int, words: str):
    assert counted(count, "shard") == words


def test_what_controls_a_terminal_is_shown_as_an_escape():
    assert visible("a\tb\nc é 中 👍") == "a\tb\nc é 中 👍"
    assert visible(STRANGE).startswith(r"x \x1b]0;title\x07\x1b[2J\x9b31m\u202egnirts\u2066\u200f\r\x7f\ud800")
    bidi = {chr(code) for code in range(sys.maxunicode) if unicodedata.bidirectional(chr(code)) in _TURNS}
    assert all(len(visible(character)) > 1 for character in bidi | {chr(code) for code in (*range(9), *range(11, 32))})


_TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def test_no_way_to_a_terminal_lets_a_text_control_it(monkeypatch: pytest.MonkeyPatch):
    out, err = _Terminal(), _Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    console.say(STRANGE)
    console.note(STRANGE)
    console.error_line(STRANGE)
    table = Table("a", title=STRANGE)
    table.add_row(f"[/{STRANGE}]")  # what rich would take for a style that ends
    console.terminal().print(table, STRANGE)
    assert _controls(err.getvalue()) == []
    assert err.getvalue().count(r"\u202e") == 2
    assert set(_controls(out.getvalue())) <= {"\x1b"}  # the table's own colours
    assert "\x1b]" not in out.getvalue() and "\x1b[2J" not in out.getvalue()
    assert r"[/x \x1b]" in out.getvalue().replace("\n", "")


def test_progress_shows_strange_names(monkeypatch: pytest.MonkeyPatch):
    err = _Terminal()
    monkeypatch.setattr(sys, "stderr", err)
    with console.progress(STRANGE, 4, "steps") as bar:
        bar.describe(STRANGE)
        bar.advance()
    assert isinstance(bar._bar, Progress)
    assert "\x1b]" not in err.getvalue() and "\u202e" not in err.getvalue()
    assert r"\x1b]0;title" in err.getvalue()


def test_a_pipe_gets_what_was_said_as_it_is(monkeypatch: pytest.MonkeyPatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    console.say("a\x1b[2J")
    assert out.getvalue() == "a\x1b[2J\n"


def test_nothing_but_the_console_prints():
    root = Path(bertkit.__file__).parent
    printing = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "Console"):
                # Predictions are data: their writers say what becomes of them on a terminal.
                printing.add(path.relative_to(root).as_posix())
    assert printing == {"core/console.py", "cli/outputs.py", "inference/prediction_formats.py"}
