"""The rule for outputs, of every command and of every file that it writes beside another.

An output is never one of the inputs; what is there already stays, unless `--overwrite` names it; it appears when it is
whole; a link stays a link; a named pipe or a device gets the bytes; and one process at a time writes it. An empty file
or folder counts as nothing. Nothing marks what bertkit wrote: a table cannot tell who made it, so that an older output
of bertkit's own is kept like any other file.
"""

from __future__ import annotations

import fcntl
import filecmp
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from bertkit.core.errors import InputError, ResourceError
from bertkit.core.files import LOCK_FILE, atomic_folder, atomic_path, full_disk_named, remove_leftovers

_MOST_LINKS = 40
_PATIENCE_SECONDS = 2.0
"""For which the folder of an output is waited for; nobody holds it for longer than it takes to look."""


def check_output_file(
    path: str | Path, *, inputs: Iterable[str | Path] = (), overwrite: bool = False, resumed: bool = False
) -> None:
    """Raise `InputError` unless the rule lets `path` be written; a command calls it before it does any work.

    `inputs` are the files that are read; of a folder, its files. A call that is `resumed` may find its own output,
    which `output_file` compares.
    """
    path = Path(path)
    if _is_stream(path):
        return
    with full_disk_named(path):
        if not path.exists():
            if any(os.path.realpath(path) == os.path.realpath(one) for one in inputs):
                raise InputError(f"{path} is one of the inputs: choose another name for the output")
            return
        if not path.is_file():
            raise InputError(f"{path} is no file: name a file for the output")
        for one in inputs:
            if _is_same(path, Path(one)):
                raise InputError(f"{path} is one of the inputs and would be lost: choose another name for the output")
        if path.stat().st_size and not (overwrite or resumed):
            raise InputError(f"{path} is there already: choose another name, or replace it with --overwrite")


def check_output_folder(
    path: str | Path,
    *,
    own: Collection[str],
    what: str,
    inputs: Iterable[str | Path] = (),
    overwrite: bool = False,
) -> None:
    """Raise `InputError` unless the rule lets the folder `path` be written, which is replaced as a whole.

    `own` are patterns of the names in such a folder, which is `what`, such as "a tokenizer". Another name in it would
    be lost, so that it is refused with `overwrite` too.
    """
    path = Path(path)
    with full_disk_named(path):
        if not path.exists():
            return
        if not path.is_dir():
            raise InputError(f"{path} is a file: name a folder for the output")
        if _holds(path, Path.cwd()):
            raise InputError(f"{path} is the current folder: name one for the output alone")
        names = sorted(entry.name for entry in path.iterdir() if entry.name != LOCK_FILE)
        for one in inputs:
            if Path(one).exists() and _holds(path, Path(one)):
                raise InputError(f"{path} holds the input {one}, which would be lost: choose another folder")
        if foreign := [name for name in names if not any(fnmatch(name, pattern) for pattern in own)]:
            raise InputError(
                f"{path} holds {foreign[0]}, which is not of {what} and would be lost: choose a new folder"
            )
        if names and not overwrite:
            raise InputError(f"{path} is there already: choose a new folder, or replace it with --overwrite")


@contextmanager
def output_file(
    path: str | Path, *, inputs: Collection[str | Path] = (), overwrite: bool = False, resumed: bool = False
) -> Iterator[Path]:
    """A temporary file for the output `path`, which it becomes when all is well; see `check_output_file`.

    What is there already when a call is `resumed` has to have the same bytes, or `InputError` is raised. What killed
    calls left beside `path` is removed. Raises `ResourceError` while another process writes the same.
    """
    path = Path(path)
    if _is_stream(path):
        with _copied_to(path) as temporary:
            yield temporary
        return
    check_output_file(path, inputs=inputs, overwrite=overwrite, resumed=resumed)
    with ExitStack() as stack:
        with _first_of_all(path):
            temporary = stack.enter_context(atomic_path(path))
        yield temporary
        is_mine = resumed and path.is_file() and filecmp.cmp(temporary, path, shallow=False)
        check_output_file(path, inputs=inputs, overwrite=overwrite, resumed=is_mine)  # it may have come meanwhile


@contextmanager
def output_folder(
    path: str | Path,
    *,
    own: Collection[str],
    what: str,
    inputs: Collection[str | Path] = (),
    overwrite: bool = False,
) -> Iterator[Path]:
    """A temporary folder for the output `path`, as `output_file` is for a file; see `check_output_folder`."""
    path = Path(path)
    check_output_folder(path, own=own, what=what, inputs=inputs, overwrite=overwrite)
    with ExitStack() as stack:
        with _first_of_all(path):
            temporary = stack.enter_context(atomic_folder(path))
        yield temporary
        check_output_folder(path, own=own, what=what, inputs=inputs, overwrite=overwrite)


def _is_same(one: Path, other: Path) -> bool:
    """Whether both are one file, by any name."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _holds(folder: Path, path: Path) -> bool:
    """Whether `path` is `folder` or in it, by device and inode."""
    place = Path(os.path.realpath(path))
    return any(_is_same(folder, above) for above in (place, *place.parents))


def _is_stream(path: Path) -> bool:
    """Whether `path` is a pipe or a device, or an open file of this process such as /dev/stdout."""
    if _own_descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _own_descriptor(path: Path) -> int | None:
    """The number of the open file of this process that `path` leads to, such as 1 for /dev/stdout."""
    for _ in range(_MOST_LINKS):
        if os.path.realpath(path.parent) == f"/proc/{os.getpid()}/fd":
            return int(path.name) if path.name.isdigit() and path.exists() else None
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


@contextmanager
def _copied_to(stream: Path) -> Iterator[Path]:
    """A temporary file elsewhere that is copied to `stream` when it is whole: formats seek in what they write."""
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "output"
        temporary.touch()
        yield temporary
        own = _own_descriptor(stream)
        descriptor = os.open(stream, os.O_WRONLY) if own is None else os.dup(own)
        with full_disk_named(stream), os.fdopen(descriptor, "wb") as file, temporary.open("rb") as whole:
            shutil.copyfileobj(whole, file)


@contextmanager
def _first_of_all(path: Path) -> Iterator[None]:
    """Let one process at a time look whether another writes `path`, and begin if none does."""
    target = Path(os.path.realpath(path))
    folder = next(place for place in target.parents if place.is_dir())
    with ExitStack() as stack:
        with suppress(OSError):  # a folder that may be written but not read, or a file system without locks
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, descriptor)
            _lock_in_time(descriptor)
        if remove_leftovers(target.parent, target.name):
            raise ResourceError(f"{path} is being written by another process: wait for it or choose another name")
        yield


def _lock_in_time(descriptor: int) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.01)
