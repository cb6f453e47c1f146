"""Where `prepare` writes the shards of the text as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bertkit.data.preparation import WORK

_ALL = "all"


@dataclass(frozen=True)
class Stage:
    """Files of the shards in `folder`, records and hashes in `work`.

    In place where all text stays; apart, until it is known what repeats, where some of it is left out.
    """

    folder: Path
    work: Path

    @classmethod
    def of(cls, out: Path, *, in_place: bool) -> Stage:
        """The stage of a preparation into `out`."""
        work = out / WORK
        return cls(out, work) if in_place else cls(work / _ALL, work / _ALL)
