"""What became of a file's tensors and a model's."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bertkit.foundation.console import note


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """Tensors that were taken from the file, left in it, and newly made since the file lacks them."""

    path: Path
    taken: tuple[str, ...]
    """Our names."""
    left: tuple[str, ...] = ()
    """The file's names."""
    made: tuple[str, ...] = ()
    """Our names."""

    @property
    def complete(self) -> bool:
        """Whether file and model hold the same."""
        return not self.left and not self.made

    def show(self) -> None:
        """Print one line where something was left or newly made."""
        if not self.complete:
            note(str(self))

    def __str__(self) -> str:
        parts = [f"{len(self.taken)} tensors taken"]
        if self.left:
            parts.append(f"left {_grouped(self.left)}")
        if self.made:
            parts.append(f"newly made {_grouped(self.made)}")
        return f"{self.path}: {', '.join(parts)}"


def _grouped(names: tuple[str, ...]) -> str:
    """Tensors by the module that they belong to, with their number."""
    counts = Counter(_part(name) for name in names)
    shown = [f"{part} ({count})" for part, count in counts.most_common(6)]
    return ", ".join(shown) + (f" and {len(counts) - 6} parts more" if len(counts) > 6 else "")


def _part(name: str) -> str:
    """The module, down to its third level."""
    module = re.split(r"[./]", name)[:-1]
    return ".".join(module[:3]) or name
