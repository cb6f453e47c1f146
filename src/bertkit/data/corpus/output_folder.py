"""- the folder that prepare writes: claim, resume, tidy, staging, part."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from bertkit.core.console import note
from bertkit.core.errors import BertkitError, InputError, ResourceError
from bertkit.core.files import exclusive, read_json, remove_leftovers, write_json

WORK = ".prepare"
"""Subfolder that remembers what is being prepared and what of it is done."""
_FINGERPRINT = "fingerprint.json"
_WRITTEN = ("manifest.json", "shard-[0-9][0-9][0-9][0-9][0-9].*", "instances.*.npy")


class Finished(Protocol):
    """The record of a finished folder."""

    def damage(self, folder: Path, verify: bool) -> str | None:
        """What is wrong with the folder's files, None if nothing."""
        ...


FinishedT = TypeVar("FinishedT", bound=Finished)


def prepare_folder(
    out: Path, fingerprint: str, *, overwrite: bool, read: Callable[[Path], FinishedT], make: Callable[[], FinishedT]
) -> FinishedT:
    """Return what `make` writes into `out`, or `read` there where the same `fingerprint` has been made already.

    What was made for another fingerprint is refused, or removed with `overwrite`. A `make` that ends in `BertkitError`
    leaves nothing of its own; what an earlier one finished stays, and with `ResourceError` all that is finished.
    """
    existed = out.exists()
    with exclusive(out):
        claim(out, fingerprint, overwrite)
        remove_leftovers(out)
        remove_leftovers(out / WORK)
        if (made := finished_folder(out, read)) is not None:
            return made
        went_on = _holds_finished(out)
        try:
            made = make()
        except BertkitError as error:
            if not (went_on or (isinstance(error, ResourceError) and _holds_finished(out))):
                _remove(out)
                if not existed:
                    shutil.rmtree(out)
            raise
        tidy(out / WORK)
        return made


def finished_folder(out: Path, read: Callable[[Path], FinishedT]) -> FinishedT | None:
    """What was made in `out` before, None if nothing or if it was damaged."""
    if not (out / "manifest.json").is_file():
        return None
    finished = read(out)
    if finished.damage(out, verify=True) is not None:
        return None
    note(f"{out} is prepared already from the same text, options and tokenizer")
    tidy(out / WORK)
    return finished


def claim(out: Path, fingerprint: str, overwrite: bool) -> None:
    """Make sure that what this preparation will replace in `out` is its own."""
    path = out / WORK / _FINGERPRINT
    if path.is_file():
        if read_json(path) == fingerprint:
            return
        if not overwrite:
            raise InputError(
                f"{out} was prepared from other text, with other options or another tokenizer: choose another folder, "
                "or replace it with --overwrite"
            )
        _remove(out)
    elif foreign := next((file for pattern in (*_WRITTEN, "tokenizer") for file in out.glob(pattern)), None):
        raise InputError(
            f"{out} holds no prepared corpus, but {foreign.name}, which would be lost: choose a new folder"
        )
    write_json(path, fingerprint)


def tidy(work: Path) -> None:
    """Remove what a finished folder does not need."""
    for path in work.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _FINGERPRINT and not path.match("shard-?????.json"):
            path.unlink()


def _holds_finished(out: Path) -> bool:
    """Whether there is anything that need not be made again."""
    return (out / "manifest.json").is_file() or any((out / WORK).rglob("shard-?????.json"))


def _remove(out: Path) -> None:
    """Remove what preparations have written, the marks of being finished first and that of being theirs last."""
    for pattern in _WRITTEN:
        for file in out.glob(pattern):
            file.unlink()
    for folder in ("tokenizer", WORK):
        shutil.rmtree(out / folder, ignore_errors=True)
    remove_leftovers(out)


_ALL = "all"


@dataclass(frozen=True)
class StagingFolder:
    """Files of the shards in `folder`, records and hashes in `work`.

    In place where all text stays; apart, until it is known what repeats, where some of it is left out.
    """

    folder: Path
    work: Path

    @classmethod
    def of(cls, out: Path, *, in_place: bool) -> StagingFolder:
        """The stage of a preparation into `out`."""
        work = out / WORK
        return cls(out, work) if in_place else cls(work / _ALL, work / _ALL)


@dataclass(frozen=True)
class MachineShard:
    """Part `number` (from 1) of `of`: every `of`-th shard."""

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise InputError(f"--shard {self} does not exist: give --shard 1/{self.of} to {self.of}/{self.of}")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> MachineShard:
        """Read "2/4"."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or int(match[2]) == 0:
            raise InputError(f"--shard must be like 2/4, the second of four parts, got {text!r}")
        return cls(int(match[1]), int(match[2]))

    def has(self, index: int) -> bool:
        """Whether the shard with this number (from 0) belongs to it."""
        return index % self.of == self.number - 1

    def all(self) -> list[MachineShard]:
        """All parts that this is one of."""
        return [MachineShard(number, self.of) for number in range(1, self.of + 1)]
