"""Whatever `bertkit prepare` wrote."""

from __future__ import annotations

from pathlib import Path

from bertkit.data.fixed_instances import FixedInstances
from bertkit.data.instance_manifest import INSTANCES
from bertkit.data.manifest import KIND, read_manifest
from bertkit.data.prepared_corpus import PreparedCorpus

Prepared = PreparedCorpus | FixedInstances


def open_prepared(folder: str | Path) -> Prepared:
    """Open a prepared folder of either kind, comparing the SHA-256 of every file."""
    folder = Path(folder)
    if read_manifest(folder).get("kind", KIND) == INSTANCES:
        return FixedInstances.open(folder)
    return PreparedCorpus.open(folder)
