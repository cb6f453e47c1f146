"""The folder that `prepare` writes: claimed for one preparation, resumed, tidied, shared by several machines."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from bertkit.core.console import note
from bertkit.core.errors import BertkitError, InputError, ResourceError
from bertkit.core.files import exclusive, read_json, remove_leftovers, write_json
from bertkit.core.records import from_json

WORK = ".prepare"
"""Subfolder with the state of a preparation: what is prepared, and what of it is finished."""
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

    Files of another fingerprint are refused, or removed with `overwrite`. A `make` that raises `ResourceError` keeps
    what is finished; after another `BertkitError` only what an earlier call finished stays.
    """
    with exclusive(out):
        claim(out, fingerprint, overwrite)
        remove_leftovers(out)
        remove_leftovers(out / WORK)
        if (made := finished_folder(out, read)) is not None:
            return made
        resumes = _holds_finished(out)
        try:
            made = make()
        except BertkitError as error:
            if not (resumes or (isinstance(error, ResourceError) and _holds_finished(out))):
                _remove(out)
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
    """Make sure that this preparation replaces no files in `out` but its own."""
    path = out / WORK / _FINGERPRINT
    if path.is_file():
        if _claimed(path) == fingerprint:
            return
        if not overwrite:
            raise InputError(
                f"{out} was prepared from other text, with other options or another tokenizer: choose another folder, "
                "or replace it with --overwrite"
            )
        _remove(out)
    elif foreign := next((file for pattern in (*_WRITTEN, "tokenizer") for file in out.glob(pattern)), None):
        raise InputError(
            f"{out} holds {foreign.name}, which is not of a prepared corpus and would be lost: choose a new folder"
        )
    write_json(path, fingerprint)


def _claimed(path: Path) -> str | None:
    """The fingerprint of what a folder was claimed for; None where it cannot be told any more."""
    try:
        return from_json(str, read_json(path))
    except InputError as error:
        note(f"{path}: {str(error).removeprefix(f'{path} ')}; the folder counts as one of another text")
        return None


def tidy(work: Path) -> None:
    """Remove what a finished folder does not need."""
    for path in work.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _FINGERPRINT and not path.match("shard-?????.json"):
            path.unlink()


def _holds_finished(out: Path) -> bool:
    """Whether anything is finished and need not be made again."""
    return (out / "manifest.json").is_file() or any((out / WORK).rglob("shard-?????.json"))


def _remove(out: Path) -> None:
    """Remove what preparations wrote: manifests first, the claim on the folder last."""
    for pattern in _WRITTEN:
        for file in out.glob(pattern):
            file.unlink()
    for folder in ("tokenizer", WORK):
        shutil.rmtree(out / folder, ignore_errors=True)
    remove_leftovers(out)


_ALL = "all"


@dataclass(frozen=True)
class StagingFolder:
    """Where shards are first written: their files in `folder`, records and hashes in `work`.

    That is their final place unless repeated text is left out, which is only known when all shards are there.
    """

    folder: Path
    work: Path

    @classmethod
    def of(cls, out: Path, *, in_place: bool) -> StagingFolder:
        """The staging folder of a preparation into `out`."""
        work = out / WORK
        return cls(out, work) if in_place else cls(work / _ALL, work / _ALL)
