"""A shard without the lines that are left out."""
# N tokens, S sentences, D documents of the shard.

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bertkit.data.manifest import ShardRecord
from bertkit.data.shard import DOCUMENTS, SENTENCES, TOKENS, shard_file, write_shard
from bertkit.data.shard_worker import finished_shard, record_path
from bertkit.foundation.files import write_json


@dataclass(frozen=True, kw_only=True)
class FilterTask:
    """Shard `staged` of `stage`, what becomes of it in `folder`, and its place among the flags of all lines."""

    stage: Path
    staged: str
    folder: Path
    work: Path
    name: str
    left_out: Path
    first_line: int


def run_filter(task: FilterTask) -> ShardRecord:
    """Write what stays, unless it is there from an earlier, killed run."""
    record = finished_shard(task.folder, task.work, task.name)
    if record is not None:
        return record
    tokens, sentences, documents = (
        np.load(task.stage / shard_file(task.staged, part)) for part in (TOKENS, SENTENCES, DOCUMENTS)
    )
    lengths = np.diff(sentences)  # (S,)
    flags = np.load(task.left_out, mmap_mode="r")
    stays = ~np.array(flags[task.first_line : task.first_line + len(lengths)])  # (S,)
    owner = np.repeat(np.arange(len(documents) - 1), np.diff(documents))  # (S,)
    sentences_of = np.bincount(owner[stays], minlength=len(documents) - 1)  # (D,)
    record = write_shard(
        task.folder,
        task.name,
        tokens[np.repeat(stays, lengths)],
        lengths[stays],
        sentences_of[sentences_of > 0],
    )
    write_json(record_path(task.work, task.name), asdict(record))
    return record
