"""Files that are whole or absent, and folders that one process uses at a time."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bertkit.core.errors import InputError, ResourceError

_UNWRITABLE = (errno.EACCES, errno.EROFS, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Turn "no space left" into a `ResourceError` and missing permission into an `InputError`; both name `path`."""
    try:
        yield
    except Exception as error:
        if _says_full(error):
            raise ResourceError(f"no space left on the disk of {path}: free some or write elsewhere") from error
        if isinstance(error, OSError) and error.errno in _UNWRITABLE:
            raise InputError(f"{path} cannot be written ({error.strerror}): choose another place") from error
        raise


def _says_full(error: Exception) -> bool:
    """Whether a write failed because the disk is full; NumPy and safetensors only say so in their message."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    return (
        os.strerror(errno.ENOSPC) in str(error) or re.search(r"\d+ requested and \d+ written", str(error)) is not None
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`; on success it replaces `path`, on failure it is removed."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with full_disk_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside `path`; on success it replaces `path`, on failure it is removed."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.partial")
    with full_disk_named(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    with file.open("rb+") as handle:
                        os.fsync(handle.fileno())
            if path.exists():
                retired = path.with_name(f".{path.name}.retired")
                shutil.rmtree(retired, ignore_errors=True)
                path.replace(retired)
                temporary.replace(path)
                shutil.rmtree(retired, ignore_errors=True)
            else:
                temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers of files and folders in `folder` left behind."""
    for leftover in [*folder.glob(".*.partial"), *folder.glob(".*.retired")]:
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as readable JSON, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; a missing or broken one raises `InputError`."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the path") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON ({error}): write it again") from None


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def exclusive(folder: str | Path, *, shared: bool = False) -> Iterator[None]:
    """Hold `folder` for this process; a second one gets a `ResourceError`. A killed process holds it no longer.

    Several processes may hold it `shared`; then none can hold it alone.
    """
    folder = Path(folder)
    with full_disk_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("a+")
    with handle:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResourceError(
                f"{folder} is in use by another process: wait for it or choose another folder"
            ) from None
        yield
