"""SHA-256 of the files in a model's folder: `SHA256SUMS`, which `sha256sum -c` reads too, written and compared.

Programs that load models pass the file by. A file that was compared is remembered in the user's cache by its size,
times and inode, so that the next load does not read it again; what damages bits on a disk without a write is found by
`verify="always"` alone, which `bertkit doctor --model` and the copies of a run use.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from bertkit.core.errors import InputError, ResourceError
from bertkit.core.files import atomic_path, sha256, unreadable
from bertkit.core.machine import cache_folder
from bertkit.core.records import read_record, write_record

Verify = Literal["auto", "always", "never"]
"""Compare files that have changed since they were last compared, all of them, or none."""
SUMS_FILE = "SHA256SUMS"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt")
_SUMMED = (
    *("*.safetensors", "*.index.json", "pytorch_model*.bin", "bert_model.ckpt.*"),
    *("onnx/*.onnx", "openvino/openvino_model*", "config.json", "bert_config.json", "task.json", *TOKENIZER_FILES),
)


def write_sums(folder: Path, names: Iterable[str] | None = None) -> None:
    """Write `SHA256SUMS` of the weights, tokenizer and descriptions in a folder.

    With `names`, only those files are read, where the folder has such sums already; others keep theirs.
    """
    known = {} if names is None else read_sums(folder)
    if names is not None and not known:
        return
    paths = [path for pattern in _SUMMED for path in folder.glob(pattern) if path.is_file()]
    found = sorted({path.relative_to(folder).as_posix() for path in paths})
    changed = found if names is None else [name for name in names if name in found]
    sums = known | {name: sha256(folder / name) for name in changed}
    lines = [f"{sums[name]}  {name}\n" for name in found if name in sums]
    with atomic_path(folder / SUMS_FILE) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def read_sums(folder: Path) -> dict[str, str]:
    """SHA-256 by name, empty where the folder has none; raises `InputError` for a file of another form."""
    path = folder / SUMS_FILE
    if not path.is_file():
        return {}
    try:
        lines = path.read_bytes().decode("utf-8").splitlines()
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError:
        lines = ["?"]
    sums = {}
    for number, line in enumerate(lines, 1):
        digest, separator, name = line[:64], line[64:66], line[66:]
        if separator not in ("  ", " *") or not name or not set(digest) <= set("0123456789abcdef"):
            raise InputError(
                f"{path}, line {number} is not a SHA-256 and a name: copy the folder again, or remove {SUMS_FILE} if "
                "you trust the other files"
            )
        sums[name] = digest
    return sums


def check_sums(folder: Path, names: Iterable[str] | None = None, verify: Verify = "auto") -> int:
    """Raise `InputError` for a file that is not the one that was written; return how many were compared.

    `names` are those that matter, None all that have a sum. A folder without sums, such as other programs write, is
    taken as it is.
    """
    if verify not in get_args(Verify):
        raise InputError(f"verify {verify!r} is unknown: use one of {', '.join(get_args(Verify))}")
    if verify == "never":
        return 0
    sums = read_sums(folder)
    chosen = [name for name in (sums if names is None else names) if name in sums and (folder / name).is_file()]
    for name in chosen:
        path = folder / name
        if file_digest(path, remembered=verify == "auto") != sums[name]:
            raise InputError(
                f"{path} is not what was written (its SHA-256 is not the one in {SUMS_FILE}): copy the folder again, "
                f"or remove {SUMS_FILE} if you changed the file yourself"
            )
    return len(chosen)


_SMALL = 1 << 22
"""Bytes that are read as fast as what is remembered of them."""
_RECENT = 2_000_000_000
"""Nanoseconds."""


@dataclass(frozen=True)
class _Seen:
    """A file as it was when it was read."""

    size: int
    modified: int
    changed: int
    """Nanoseconds; the time of the file's last change of any kind, which programs cannot set."""
    device: int
    inode: int


@dataclass(frozen=True)
class _Remembered:
    seen: _Seen
    sha256: str


def _seen(path: Path) -> _Seen:
    status = path.stat()
    return _Seen(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino)


def file_digest(path: Path, *, remembered: bool) -> str:
    """The SHA-256 of a file; what is `remembered` of a large one is taken where the file has not changed since."""
    try:
        seen = _seen(path)
        place = _place(path) if remembered and seen.size >= _SMALL else None
        if place is not None and place.is_file():
            with suppress(InputError, ResourceError):
                known = read_record(place, _Remembered, "it is measured again")
                if known.seen == seen:
                    return known.sha256
        digest = sha256(path)
    except OSError as error:
        raise unreadable(path, error) from None
    is_old = time.time_ns() - seen.changed > _RECENT  # a write at the same time would not show
    if place is not None and is_old and _seen(path) == seen:
        with suppress(InputError, ResourceError, OSError):  # a cache that cannot be written
            write_record(place, asdict(_Remembered(seen, digest)))
    return digest


def _place(path: Path) -> Path | None:
    """Where the sum of a file is remembered; None for a user without a home."""
    try:
        name = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape")).hexdigest()[:32]
        return cache_folder() / "sums" / f"{name}.json"
    except RuntimeError:
        return None
