"""What a command that refuses something may print: its one line, and which backend a first trial found fastest."""

from __future__ import annotations

import re

_TRIAL = re.compile(r".+: backend \w+ \(\w+, threads \d+\), the fastest for a short text and for \d+ texts: .+")


def the_error(printed: str) -> str:
    """The line of the error; fails where anything else was printed but the note of a trial."""
    lines = [line for line in printed.splitlines() if not _TRIAL.fullmatch(line)]
    assert len(lines) == 1, printed
    assert lines[0].startswith("bertkit: error: "), printed
    return lines[0]
