"""The folder that `prepare` writes: claimed for one preparation, resumed, tidied, shared by several machines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from bertkit.core.console import note
from bertkit.core.errors import BertkitError, InputError, ResourceError
from bertkit.core.files import LOCK_FILE, exclusive, read_json, remove_leftovers, replace_with_own, write_json
from bertkit.core.records import from_json

WORK = ".prepare"
"""Subfolder with the state of a preparation: what is prepared, and what of it is finished."""
_FINGERPRINT = "fingerprint.json"
_NEXT = "next"
"""Subfolder of the work folder, with what is to replace all."""
_WRITTEN = ("manifest.json", "shard-[0-9][0-9][0-9][0-9][0-9].*", "instances.*.npy")


class Finished(Protocol):
    """The record of a finished folder."""

    def damage(self, folder: Path, verify: bool) -> str | None:
        """What is wrong with the folder's files, None if nothing."""
        ...


FinishedT = TypeVar("FinishedT", bound=Finished)


def prepare_folder(
    out: Path,
    fingerprint: str,
    *,
    overwrite: bool,
    read: Callable[[Path], FinishedT],
    make: Callable[[Path], FinishedT],
) -> FinishedT:
    """Return what `make` writes into `out`, or `read` there where the same `fingerprint` has been made already.

    Files of another fingerprint are refused, or replaced with `overwrite`: what is new is made in a folder within `out`
    and trades places with the old one when it is whole. A `make` that raises `ResourceError` keeps what is finished;
    after another `BertkitError` only what an earlier call finished stays.
    """
    with exclusive(out):
        remove_leftovers(out.resolve().parent, out.resolve().name)
        remove_leftovers(out)
        remove_leftovers(out / WORK)
        if overwrite and (out / WORK / _FINGERPRINT).is_file() and _claimed(out / WORK / _FINGERPRINT) != fingerprint:
            new = out / WORK / _NEXT
            if (new / WORK / _FINGERPRINT).is_file() and _claimed(new / WORK / _FINGERPRINT) != fingerprint:
                shutil.rmtree(new)  # of a third preparation, which was stopped
            made = prepare_folder(new, fingerprint, overwrite=False, read=read, make=make)
            _carry_over(out, new)
            replace_with_own(new, out)
            return made
        claim(out, fingerprint, overwrite=False)
        if (finished := finished_folder(out, read)) is not None:
            return finished
        resumes = _holds_finished(out)
        try:
            made = make(out)
        except BertkitError as error:
            if not (resumes or (isinstance(error, ResourceError) and _holds_finished(out))):
                _remove(out)
            raise
        tidy(out / WORK)
        return made


def _carry_over(old: Path, new: Path) -> None:
    """Put what others keep in the folder `old` into `new` too."""
    for entry in old.iterdir():
        own = (LOCK_FILE, WORK, "tokenizer", *_WRITTEN)
        if any(entry.match(pattern) for pattern in own) or (new / entry.name).exists():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, new / entry.name, symlinks=True, copy_function=_link)
        else:
            _link(entry, new / entry.name)


def _link(source: str | Path, copy: str | Path) -> None:
    """The same file at a second name, or a copy where the file system has no hard links."""
    try:
        os.link(source, copy, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, copy, follow_symlinks=False)


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
        if (out / "manifest.json").is_file():
            raise InputError(f"{out} holds a finished corpus, which a part of one cannot replace: choose a new folder")
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
