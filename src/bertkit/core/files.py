"""Files and folders that are whole or absent, whatever ends the process, and folders that one process uses at a time.

A file is written under a temporary name beside its place: unguessable, opened exclusively, and locked for as long as
its writer lives, so that another process can tell what a dead one left behind. `outputs` adds the rule for what a user
names; here are the files inside of folders that are bertkit's own.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from bertkit.core.errors import InputError, ResourceError

_UNWRITABLE = (
    *(errno.EACCES, errno.EROFS, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL),
)
_LONGEST_NAME = 200
_WRONG_PATH = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EINVAL,
    errno.ENXIO,
)


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Turn "no space left" into a `ResourceError` and missing permission into an `InputError`; both name `path`.

    A folder that was removed meanwhile is a `ResourceError` too. Errors about files elsewhere stay what they are.
    """
    try:
        yield
    except Exception as error:
        if _says_full(error):
            raise ResourceError(f"no space left on the disk of {path}: free some or write elsewhere") from error
        if isinstance(error, shutil.Error) and isinstance(error.args[0], list):  # of a copied folder, file by file
            source, _, reason = error.args[0][0]
            raise InputError(f"{source} cannot be copied ({reason}): mend or remove it") from error
        if isinstance(error, OSError) and _is_about(error, path):
            if error.errno in _UNWRITABLE:
                raise InputError(f"{path} cannot be written ({error.strerror}): choose another place") from error
            if error.errno == errno.ENOENT:
                raise ResourceError(
                    f"{path} cannot be written ({error.strerror}): its folder was removed, or cannot hold files"
                ) from error
        raise


def _is_about(error: OSError, path: Path) -> bool:
    """Whether the file that an error names, if any, is `path`, a folder above, a file below, or a temporary one."""
    if not isinstance(error.filename, (str, bytes)):
        return True
    named = Path(os.fsdecode(error.filename)).absolute()
    for place in (path.absolute(), Path(os.path.realpath(path))):
        if named == place or named in place.parents or place in named.parents:
            return True
        if place.parent in named.parents and _TEMPORARY.fullmatch(named.relative_to(place.parent).parts[0]):
            return True
    return False


def _says_full(error: Exception) -> bool:
    """Whether a write failed because the disk is full; NumPy and safetensors only say so in their message."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    return (
        os.strerror(errno.ENOSPC) in str(error) or re.search(r"\d+ requested and \d+ written", str(error)) is not None
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_LONGEST_STEM = 200
"""Bytes of a name that its temporary name repeats; most file systems take 255."""
_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.[0-9a-f]{16}\.(?P<kind>partial|retired)", re.DOTALL)


def _stem(name: str) -> str:
    return os.fsencode(name)[:_LONGEST_STEM].decode(errors="ignore")


def _beside(target: Path, kind: str) -> Path:
    return target.with_name(f".{_stem(target.name)}.{secrets.token_hex(8)}.{kind}")


def _new_temporary(target: Path, create: Callable[[Path], int]) -> tuple[Path, int]:
    """A new locked file or folder beside `target`, and its descriptor; closing that gives it up."""
    while True:
        path = _beside(target, "partial")
        descriptor = create(path)
        with suppress(OSError):  # a file system without locks: nobody else can lock it either
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                return path, descriptor
        os.close(descriptor)  # removed as a leftover before it was locked


def _create_folder(path: Path) -> int:
    path.mkdir()
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _parents(path: Path) -> Iterator[None]:
    """Make the folders above `path`; after an error those that were made and are empty go again."""
    made = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for parent in made:
                parent.rmdir()
        raise


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path`; on success it replaces `path`, on failure it is removed.

    A link stays a link: what it leads to is replaced. The mode is that of the old file, or what the umask says.
    """
    path = Path(path)
    with full_disk_named(path), _parents(target := Path(os.path.realpath(path))):
        old = target.stat() if target.exists() else None
        if old is not None and not stat.S_ISREG(old.st_mode):
            raise InputError(f"{path} is no file: choose another place")

        def create(name: Path) -> int:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            return os.open(name, flags, 0o666 if old is None else 0o600)

        temporary, descriptor = _new_temporary(target, create)
        try:
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode if old is None else old.st_mode)
            yield temporary
            temporary.chmod(mode)  # by its name: safetensors puts another file in its place
            _sync(temporary)
            temporary.replace(target)
            _sync(target.parent)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(descriptor)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside `path`; on success it replaces `path` at once, on failure it is removed.

    A link stays a link: what it leads to is replaced.
    """
    path = Path(path)
    with full_disk_named(path), _parents(target := Path(os.path.realpath(path))):
        temporary, descriptor = _new_temporary(target, _create_folder)
        try:
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if file.is_file() and not file.is_symlink():
                    _sync(file)
            replace_folder(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            os.close(descriptor)


def replace_folder(new: Path, target: Path) -> None:
    """Put the folder `new` in the place of `target`, which has the old one or the new one at every moment.

    Where the file system cannot exchange names, the old one has another name for a moment; `remove_leftovers` gives it
    back its own where the process was killed then.
    """
    if not target.exists():
        new.replace(target)
    else:
        new.chmod(stat.S_IMODE(target.stat().st_mode))
        if not _exchange(new, target):
            retired = _beside(target, "retired")
            target.replace(retired)
            new.replace(target)
            new = retired
        shutil.rmtree(new, ignore_errors=True)
    _sync(target.parent)


def replace_with_own(new: Path, target: Path) -> None:
    """The same where `new` is a folder within `target`."""
    target = Path(os.path.realpath(target))
    with full_disk_named(target):
        descriptor = os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary = _beside(target, "partial")
            new.rename(temporary)
            try:
                replace_folder(temporary, target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        finally:
            os.close(descriptor)


_RENAME_EXCHANGE = 2
_CURRENT_FOLDER = -100


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders trade names in one step; False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = (os.fsencode(one), os.fsencode(other))
    return bool(rename(_CURRENT_FOLDER, names[0], _CURRENT_FOLDER, names[1], _RENAME_EXCHANGE) == 0)


def remove_leftovers(folder: Path, name: str | None = None) -> bool:
    """Remove what killed writers of files and folders in `folder` left behind, of those called `name` if it is given.

    Return whether a writer still lives, whose file stays.
    """
    alive = False
    for leftover in [*folder.iterdir()] if folder.is_dir() else ():
        match = _TEMPORARY.fullmatch(leftover.name)
        if match is None or (name is not None and match["stem"] != _stem(name)):
            continue
        try:
            descriptor = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # gone meanwhile, or not ours
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            replaced = folder / match["stem"]
            if match["kind"] == "retired" and not replaced.exists():
                leftover.rename(replaced)
            else:
                _remove(leftover)
        except BlockingIOError:
            alive = True
        except OSError:  # a file system without locks
            pass
        finally:
            os.close(descriptor)
    return alive


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as readable JSON, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; one that is missing, not readable, broken or nested too deeply raises `InputError`."""
    path = Path(path)
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise unreadable(path, error) from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply to be read: write it again") from None
    except ValueError as error:  # of the syntax, the encoding, or a number of thousands of digits
        raise InputError(f"{path} is not valid JSON ({error}): write it again") from None


def unreadable(path: str | Path, error: OSError, what: str = "cannot be read") -> InputError | ResourceError:
    """The error for a file that the system cannot open or read: a `ResourceError` where another call may succeed."""
    shown = str(path)
    if len(shown) > _LONGEST_NAME:
        shown = f"{shown[: _LONGEST_NAME - 1]}…"
    if isinstance(error, FileNotFoundError):
        return InputError(f"{shown} does not exist: check the path")
    if error.errno in _WRONG_PATH:
        return InputError(f"{shown} {what} ({error.strerror}): check the path and its permissions")
    return ResourceError(f"{shown} {what} ({error.strerror or error}): run it again when its disk answers")


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


LOCK_FILE = ".lock"


@contextmanager
def exclusive(folder: str | Path, *, shared: bool = False) -> Iterator[None]:
    """Hold `folder` for this process; a second one gets a `ResourceError`. A killed process holds it no longer.

    Several processes may hold it `shared`; then none can hold it alone. A folder that is made here and stays empty goes
    again at the end, and so does, after an error, a lock file that was made here in a folder of others.
    """
    folder = Path(folder)
    is_new = not (folder / LOCK_FILE).exists()
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    with ExitStack() as stack:
        while True:
            with full_disk_named(folder):
                folder.mkdir(parents=True, exist_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
                descriptor = os.open(folder / LOCK_FILE, flags, 0o666)
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise ResourceError(
                    f"{folder} is in use by another process: wait for it or choose another folder"
                ) from None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), (folder / LOCK_FILE).lstat()):
                    break
            os.close(descriptor)  # its holder removed it meanwhile
        stack.callback(os.close, descriptor)
        stack.callback(_remove_empty, folder, descriptor, made)
        try:
            yield
        except BaseException:
            if is_new and not made:
                _remove_lock(folder, descriptor)
            raise


def _remove_lock(folder: Path, lock: int) -> None:
    with suppress(OSError):  # another process holds it too
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (folder / LOCK_FILE).unlink()


def _remove_empty(folder: Path, lock: int, made: list[Path]) -> None:
    """Remove those of the folders `made` that hold nothing but the lock, unless another process holds it too."""
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if made and [entry.name for entry in folder.iterdir()] == [LOCK_FILE]:
            (folder / LOCK_FILE).unlink()
            for place in made:
                place.rmdir()
