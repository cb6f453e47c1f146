"""The folder that a preparation writes: claimed by one, gone on with after a kill, cleared after a mistake."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from bertkit.foundation.console import note
from bertkit.foundation.errors import InputError
from bertkit.foundation.files import exclusive, read_json, remove_leftovers, write_json

WORK = ".prepare"
"""Subfolder that remembers what is being prepared and what of it is done."""


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

    What was made for another fingerprint is refused, or removed with `overwrite`. A `make` that ends in `InputError`
    leaves nothing.
    """
    existed = out.exists()
    with exclusive(out):
        _claim(out, fingerprint, overwrite)
        if (out / "manifest.json").is_file():
            finished = read(out)
            if finished.damage(out, verify=True) is None:
                note(f"{out} is prepared already from the same text, options and tokenizer")
                return finished
        try:
            return make()
        except InputError:
            _remove(out)
            if not existed:
                shutil.rmtree(out)
            raise


def _claim(out: Path, fingerprint: str, overwrite: bool) -> None:
    """Make sure that what lies in `out` belongs to this preparation."""
    path = out / WORK / "fingerprint.json"
    if path.is_file() and read_json(path) == fingerprint:
        remove_leftovers(out)
        remove_leftovers(path.parent)
        return
    if path.is_file() or (out / "manifest.json").is_file():
        if not overwrite:
            raise InputError(
                f"{out} was prepared from other text, with other options or another tokenizer: choose another folder, "
                "or replace it with --overwrite"
            )
        _remove(out)
    write_json(path, fingerprint)


def _remove(out: Path) -> None:
    """Remove what preparations have written, the marks of being finished first."""
    (out / "manifest.json").unlink(missing_ok=True)
    for folder in (WORK, "tokenizer"):
        shutil.rmtree(out / folder, ignore_errors=True)
    for file in [*out.glob("shard-*"), *out.glob("instances.*.npy")]:
        file.unlink()
    remove_leftovers(out)
