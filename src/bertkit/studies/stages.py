"""The stages of a long study, each done once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bertkit.core.files import read_json, write_json


class Stages:
    """Runs stages in order and remembers in `folder/stages.json` which are done and how long they took."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._path, self._say = folder / "stages.json", say
        self._seconds: dict[str, float] = read_json(self._path) if self._path.is_file() else {}
        self._number = 0

    @property
    def seconds(self) -> Mapping[str, float]:
        """What each stage took, in their order."""
        return dict(self._seconds)

    def run(self, name: str, work: Callable[[], float | None]) -> None:
        """Do `work` unless it was done before; it may return its seconds over all attempts, killed ones counted."""
        self._number += 1
        if name in self._seconds:
            self._say(f"{self._number}. {name}: done before ({self._seconds[name]:.0f} s)")
            return
        self._say(f"{self._number}. {name}")
        start = time.perf_counter()
        spent = work()
        self._seconds[name] = max(time.perf_counter() - start, spent or 0.0)
        write_json(self._path, self._seconds)
