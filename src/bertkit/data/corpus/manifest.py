"""The record of a prepared corpus: what is in it, and the checksum of every file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from bertkit.core.errors import InputError
from bertkit.core.files import read_json, sha256, write_json
from bertkit.core.records import from_json

FORMAT = 1
KIND = "corpus"

RecordT = TypeVar("RecordT")


class FileRecord(TypedDict):
    """Size and SHA-256 of a file."""

    bytes: int
    sha256: str


def file_record(path: Path) -> FileRecord:
    """The record of a file as it is now."""
    return FileRecord(bytes=path.stat().st_size, sha256=sha256(path))


def files_damage(folder: Path, files: Mapping[str, FileRecord], verify: bool) -> str | None:
    """What is wrong with recorded files, None if nothing is; `verify` compares the SHA-256 too."""
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if path.stat().st_size != expected["bytes"]:
            return f"{path} has {path.stat().st_size} bytes instead of {expected['bytes']}"
        if verify and sha256(path) != expected["sha256"]:
            return f"{path} was changed since it was prepared (its SHA-256 differs)"
    return None


def read_manifest(folder: Path) -> dict[str, Any]:
    """The content of `manifest.json`, its `format` checked; a folder without one raises `InputError`."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise InputError(f"{folder} is not a prepared corpus (no manifest.json): run `bertkit prepare` into it")
    value = read_json(path)
    if not isinstance(value, dict):
        raise changed_manifest(folder, "it is not an object")
    if value.pop("format", None) != FORMAT:
        raise InputError(f"{path} has another format than {FORMAT}: prepare the corpus again with this version")
    return value


def parse_manifest(folder: Path, kind: type[RecordT], value: Any) -> RecordT:
    """The rest of a `manifest.json` as the dataclass `kind`; raises `InputError` where it does not fit."""
    try:
        return from_json(kind, value)
    except InputError as error:
        raise changed_manifest(folder, str(error)) from None


def changed_manifest(folder: Path, what: str) -> InputError:
    """The error for a `manifest.json` that is not what was written."""
    return InputError(
        f"{folder / 'manifest.json'} was changed since the text was prepared ({what}): "
        "remove it and run the same `bertkit prepare` again"
    )


@dataclass(frozen=True, kw_only=True)
class ShardRecord:
    """One shard: its counts, and size and SHA-256 of its files by name."""

    name: str
    documents: int
    sentences: int
    tokens: int
    files: dict[str, FileRecord]

    def damage(self, folder: Path, verify: bool) -> str | None:
        """What is wrong with the shard's files, None if nothing; `verify` compares SHA-256 besides sizes."""
        return files_damage(folder, self.files, verify)


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """How much of a text repeats earlier text, and how much of that was left out."""

    documents: int
    """Documents with exactly the sentences of an earlier one."""
    near_documents: int | None
    """Documents similar to an earlier one, the same ones included; None where they were not looked for."""
    sentences: int
    """Sentences that occurred before; where documents are left out, among the others."""
    dropped_documents: int = 0
    dropped_sentences: int = 0
    dropped_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A whole prepared corpus; `manifest.json` is written last, so a folder without one is not finished."""

    vocab_size: int
    tokenizer_fingerprint: str
    options: dict[str, Any]
    """What decided the contents besides the tokenizer and the text."""
    sources: list[dict[str, Any]]
    """Name and size of the files that were read."""
    shards: list[ShardRecord]
    duplicates: Duplicates | None = None
    """None where an older version prepared the folder."""

    @property
    def documents(self) -> int:
        """Number of documents."""
        return sum(shard.documents for shard in self.shards)

    @property
    def sentences(self) -> int:
        """Number of sentences."""
        return sum(shard.sentences for shard in self.shards)

    @property
    def tokens(self) -> int:
        """Number of tokens, special ones not counted."""
        return sum(shard.tokens for shard in self.shards)

    def damage(self, folder: Path, verify: bool) -> str | None:
        """What is wrong with the first damaged shard, None if none is."""
        return next(filter(None, (shard.damage(folder, verify) for shard in self.shards)), None)

    def write(self, folder: Path) -> None:
        """Write `manifest.json`, whole or not at all."""
        counts = {"documents": self.documents, "sentences": self.sentences, "tokens": self.tokens}
        write_json(folder / "manifest.json", {"format": FORMAT, "kind": KIND, "counts": counts, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read `manifest.json`; a folder without one, or with fixed instances, raises `InputError`."""
        value = read_manifest(folder)
        if value.pop("kind", KIND) != KIND:
            raise InputError(f"{folder} holds fixed instances, where a corpus is needed: prepare it without --static")
        value.pop("counts", None)
        return parse_manifest(folder, cls, value)
