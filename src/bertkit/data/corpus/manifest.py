"""The record of a prepared corpus: what is in it, and the checksum of every file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict, TypeVar

from msgspec import Meta

from bertkit.core.errors import InputError
from bertkit.core.files import read_json, sha256
from bertkit.core.records import Count, Positive, from_json, take_checksum, write_record

FORMAT = 1
KIND = "corpus"

RecordT = TypeVar("RecordT")


class FileRecord(TypedDict):
    """Size and SHA-256 of a file."""

    bytes: Count
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


def read_manifest(folder: Path) -> tuple[dict[str, Any], str | None]:
    """The content of `manifest.json`, its `format` checked, and how its checksum says that it was changed, if it does.

    A folder without one raises `InputError`.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise InputError(f"{folder} is not a prepared corpus (no manifest.json): run `bertkit prepare` into it")
    try:
        value = read_json(path)
    except InputError as error:
        raise InputError(f"{str(error).removesuffix(': write it again')}: prepare the corpus again") from None
    damage = take_checksum(value)
    if not isinstance(value, dict):
        raise changed_manifest(folder, "it is not an object")
    if value.pop("format", None) != FORMAT:
        raise InputError(f"{path} has another format than {FORMAT}: prepare the corpus again with this version")
    return value, damage


def parse_manifest(folder: Path, kind: type[RecordT], value: Any, damage: str | None) -> RecordT:
    """The rest of a `manifest.json` as the dataclass `kind`; raises `InputError` where it does not fit."""
    try:
        record = from_json(kind, value)
    except InputError as error:
        raise changed_manifest(folder, str(error)) from None
    if damage is not None:  # after the entries, whose errors say more
        raise changed_manifest(folder, damage)
    return record


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
    documents: Count
    sentences: Count
    tokens: Count
    files: dict[str, FileRecord]

    def damage(self, folder: Path, verify: bool) -> str | None:
        """What is wrong with the shard's files, None if nothing; `verify` compares SHA-256 besides sizes."""
        return files_damage(folder, self.files, verify)


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """How much of a text repeats earlier text, and how much of that was left out."""

    documents: Count
    """Documents with exactly the sentences of an earlier one."""
    near_documents: Count | None
    """Documents similar to an earlier one, the same ones included; None where they were not looked for."""
    sentences: Count
    """Sentences that occurred before; where documents are left out, among the others."""
    dropped_documents: Count = 0
    dropped_sentences: Count = 0
    dropped_tokens: Count = 0


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A whole prepared corpus; `manifest.json` is written last, so a folder without one is not finished."""

    vocab_size: Positive
    tokenizer_fingerprint: str
    options: dict[str, Any]
    """What decided the contents besides the tokenizer and the text."""
    sources: list[dict[str, Any]]
    """Name and size of the files that were read."""
    shards: Annotated[list[ShardRecord], Meta(min_length=1)]
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
        write_record(folder / "manifest.json", {"format": FORMAT, "kind": KIND, "counts": counts, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read `manifest.json`; a folder without one, or with fixed instances, raises `InputError`."""
        value, damage = read_manifest(folder)
        if value.pop("kind", KIND) != KIND:
            raise InputError(f"{folder} holds fixed instances, where a corpus is needed: prepare it without --static")
        value.pop("counts", None)
        return parse_manifest(folder, cls, value, damage)
