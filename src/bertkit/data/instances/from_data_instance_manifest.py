"""The record of a folder of fixed instances."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bertkit.data.manifest import FORMAT, FileRecord, files_damage, parse_manifest, read_manifest
from bertkit.data.static_options import StaticOptions
from bertkit.foundation.errors import InputError
from bertkit.foundation.files import write_json

INSTANCES = "instances"
"""The manifest's `kind`."""


@dataclass(frozen=True, kw_only=True)
class InstanceManifest:
    """A finished folder of fixed instances; `manifest.json` is written last."""

    vocab_size: int
    tokenizer_fingerprint: str
    options: dict[str, Any]
    """How the text was read."""
    static: StaticOptions
    sources: list[dict[str, Any]]
    """Name and size of the files that were read."""
    documents: int
    instances: int
    tokens: int
    """Tokens of all instances, special ones counted."""
    predictions: int
    files: dict[str, FileRecord]
    """Size and SHA-256 of every array by file name."""

    def damage(self, folder: Path, verify: bool) -> str | None:
        """What is wrong with the first damaged file, None if none is; `verify` compares SHA-256 besides sizes."""
        return files_damage(folder, self.files, verify)

    def write(self, folder: Path) -> None:
        """Write `manifest.json`, whole or not at all."""
        write_json(folder / "manifest.json", {"format": FORMAT, "kind": INSTANCES, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> InstanceManifest:
        """Read `manifest.json`; a folder without one, or with a corpus, raises `InputError`."""
        value = read_manifest(folder)
        if value.pop("kind", None) != INSTANCES:
            raise InputError(f"{folder} holds a corpus, where fixed instances are needed: prepare it with --static")
        return parse_manifest(folder, cls, value)
