"""Where text and tables come from: files, folders, globs and hub data sets."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertkit.core.errors import InputError

COMPRESSIONS = (".gz", ".xz", ".zst")
_FORMATS = {
    ".txt": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_VOCABULARIES = ("vocab.txt", "merges.txt")
_BESIDE_VOCABULARIES = ("tokenizer.json", "tokenizer_config.json", "config.json", "bert_config.json")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


@dataclass(frozen=True)
class SourceFile:
    """One file; `format` is text, jsonl, csv, tsv or parquet."""

    path: Path
    format: str

    @property
    def origin(self) -> str:
        """What messages call it."""
        return str(self.path)

    @property
    def num_bytes(self) -> int:
        """Size on the disk."""
        return self.path.stat().st_size

    def describe(self) -> dict[str, Any]:
        """Name and size, for a manifest."""
        return {"name": self.path.name, "bytes": self.num_bytes}

    def state(self) -> list[Any]:
        """What changes when the file does."""
        return [str(self.path), self.num_bytes, self.path.stat().st_mtime_ns]


@dataclass(frozen=True)
class HubDataset:
    """A data set that the `datasets` library loads by name, `owner/name` or `owner/name:configuration`."""

    name: str

    num_bytes = 0

    @property
    def origin(self) -> str:
        """What messages call it."""
        return self.name

    def describe(self) -> dict[str, Any]:
        """Name, for a manifest."""
        return {"name": self.name}

    def state(self) -> list[Any]:
        """All that is known without a network."""
        return [self.name]


Source = SourceFile | HubDataset


def no_rows(name: object) -> InputError:
    """The error for an empty table, by the name that the user gave."""
    return InputError(f"{name} has no rows: check the file")


Names = str | Path | Sequence[str | Path]
"""A file, a folder, a glob or a hub data set, or several of them."""


def resolve_sources(names: Names) -> list[Source]:
    """Find the files of each name, in the names' order; a folder's and a glob's files come sorted.

    A folder is searched with its subfolders for files of a known format, except the vocabularies of tokenizers; a
    file given by name is read as text unless its ending says otherwise. What does not exist raises `InputError`.
    """
    if not names:
        raise InputError("no text is given: name files, folders, globs or hub data sets")
    return [source for name in ([names] if isinstance(names, str | Path) else names) for source in _resolve(str(name))]


def _resolve(name: str) -> list[Source]:
    path = Path(name).expanduser()
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.is_file() and not _hidden(file.relative_to(path))]
        texts = [file for file in files if not _is_vocabulary(file)]
        known: list[Source] = [SourceFile(file, form) for file in texts if (form := _format(file)) is not None]
        if not known:
            raise InputError(f"the folder {name} has no file of a known format: give {', '.join(_FORMATS)}")
        return known
    if path.exists():
        return [SourceFile(path, _format(path) or ("jsonl" if ".json" in path.suffixes else "text"))]
    if any(mark in name for mark in "*?["):
        found = glob.glob(str(path), recursive=True)  # noqa: PTH207  # `Path.glob` takes no absolute pattern
        matches = sorted(match for match in found if Path(match).is_file())
        if not matches:
            raise InputError(f"no file matches {name}: check the pattern")
        return [SourceFile(Path(match), _format(Path(match)) or "text") for match in matches]
    if _HUB_NAME.fullmatch(name) and _format(path) is None and not path.parent.is_dir():
        return [HubDataset(name)]
    raise InputError(f"no such file, folder, glob or hub data set: {name}; check the path or the name")


def _format(path: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        del suffixes[-1]
    return _FORMATS.get(suffixes[-1]) if suffixes else None


def _is_vocabulary(file: Path) -> bool:
    """Whether it is a tokenizer's, as in the folders of tokenizers, models and prepared text."""
    return file.name in _VOCABULARIES and any((file.parent / name).is_file() for name in _BESIDE_VOCABULARIES)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
