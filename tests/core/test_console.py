"""What is seen where standard error is no terminal."""

from __future__ import annotations

import pytest

from bertkit.core import console
from bertkit.core.console import counted


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
