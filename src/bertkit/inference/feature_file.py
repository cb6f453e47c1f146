"""A file of vectors of any number of texts, part by part, so that a run that was stopped is resumed."""
# N texts.

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bertkit.core.errors import InputError
from bertkit.data.readers.text import TextRow, TextSource
from bertkit.inference.bulk import (
    ALONE,
    Advance,
    BulkOptions,
    Chunk,
    ChunkSource,
    Finish,
    Payloads,
    SharedModel,
    merge_bulk,
    run_bulk,
)
from bertkit.inference.features import FeaturePlan, extract_features
from bertkit.inference.seen_ids import SeenIds
from bertkit.inference.vector_files import ID, check_vector_path, empty_and_cut, numbers, vector_table, vector_writer

_PART_TEXTS = 8192
_PART_CHARACTERS = 1 << 24
_PART_BYTES = 1 << 28
_WITH_IDS = "features"
"""The command that writes ids beside an .npy file."""


@dataclass(frozen=True, kw_only=True)
class WrittenFeatures:
    """What was written, counted."""

    texts: int
    width: int
    warnings: tuple[str, ...]
    """What a user should know of the texts, a line each."""


def write_features(
    shared: SharedModel,
    sources: Sequence[TextSource],
    output: Path,
    plan: FeaturePlan,
    *,
    command: str = "features",
    inputs: Collection[str | Path] = (),
    overwrite: bool = False,
    options: BulkOptions = ALONE,
    share_read: Callable[[], float | None] = lambda: None,
) -> WrittenFeatures | None:
    """Carry out `plan` on every text and write `output`, .npy or .parquet; see `vector_writer`. None after a shard.

    `output` is none of the files `inputs`; what is there already stays without `overwrite`.

    Memory does not grow with the number of texts. A call that was killed resumes when it is made again, and ends with
    the same bytes; see `run_bulk`, also on files that cannot be read. `features` writes ids beside an .npy file,
    `embed` does not. `share_read` says how much of all texts has been read, None where nobody knows.
    """
    with_ids = command == _WITH_IDS
    check_vector_path(output, with_ids=with_ids, is_per_token=plan.is_per_token, inputs=inputs, overwrite=overwrite)
    work = _Vectors(shared, plan, command)
    chunked = [ChunkSource(origin=source.origin, chunks=_chunks(source.rows, plan)) for source in sources]
    return run_bulk(output, chunked, work, _finish(output, inputs, overwrite=overwrite), options, share_read)


def merge_features(output: Path, command: str = "features", *, overwrite: bool = False) -> WrittenFeatures:
    """Write `output` from the parts that the shards of a `write_features` with this `command` left beside it."""
    check_vector_path(output, overwrite=overwrite)
    return merge_bulk(output, command, _finish(output, (), overwrite=overwrite))


class _Vectors:
    """The work: texts to an Arrow table."""

    def __init__(self, shared: SharedModel, plan: FeaturePlan, command: str) -> None:
        self._shared, self._plan = shared, plan
        self.made_with = {**shared.made_with, **json.loads(json.dumps(asdict(plan))), "command": command}

    def make(self, texts: Sequence[TextRow], advance: Advance) -> memoryview:
        """A file of Arrow's with the texts' vectors, and their ids where they have some."""
        model = self._shared.predictor.model
        features = extract_features(model, [row.text for row in texts], self._plan, advance)
        vocabulary = model.tokenizer.subwords.vocabulary if self._plan.is_per_token else None
        table = vector_table(texts, features, vocabulary)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as file:
            file.write_table(table)
        return memoryview(sink.getvalue())


def _chunks(rows: Iterable[TextRow], plan: FeaturePlan) -> Iterator[Chunk[list[TextRow]]]:
    """Cut the texts into parts of bounded size, by the texts and the plan alone."""
    chunk: list[TextRow] = []
    characters = size = 0
    for row in rows:
        chunk.append(row)
        characters += len(row.text)
        # Two characters a piece are few, and only a guess is needed.
        vectors = min(plan.max_length, 2 + len(row.text) // 2) if plan.is_per_token else 1
        size += 4 * plan.width * vectors
        if len(chunk) == _PART_TEXTS or characters > _PART_CHARACTERS or size > _PART_BYTES:
            yield _chunk(chunk)
            chunk, characters, size = [], 0, 0
    if chunk:
        yield _chunk(chunk)


def _chunk(rows: list[TextRow]) -> Chunk[list[TextRow]]:
    content = json.dumps([[row.id, row.text] for row in rows]).encode()
    return Chunk(texts=rows, count=len(rows), content=content)


def _finish(output: Path, inputs: Collection[str | Path], *, overwrite: bool) -> Finish[WrittenFeatures]:
    def write(made_with: Mapping[str, Any], payloads: Payloads) -> WrittenFeatures:
        texts = empty = cut = width = 0
        ids = SeenIds()
        with_ids = made_with["command"] == _WITH_IDS
        with vector_writer(output, with_ids=with_ids, inputs=inputs, overwrite=overwrite) as writer:
            for payload in payloads:
                table = pa.ipc.open_file(pa.py_buffer(payload)).read_all()
                if ID not in table.column_names:
                    table = table.add_column(0, ID, numbers(np.arange(texts + 1, texts + len(table) + 1)))
                else:
                    ids.add(table[ID].to_pylist())
                writer.write(table)
                empty_here, cut_here = empty_and_cut(table)
                texts, empty, cut = texts + len(table), empty + empty_here, cut + cut_here
                width = writer.width
            if not texts:
                raise InputError(f"{output} would have no rows: the files given hold no text")
        warnings = tuple(_warnings(made_with["max_length"], empty, cut, ids))
        return WrittenFeatures(texts=texts, width=width, warnings=warnings)

    return write


def _warnings(max_length: int, empty: int, cut: int, ids: SeenIds) -> Iterator[str]:
    if cut:
        yield f"texts cut at max_length {max_length} tokens: {cut:,}"
    if empty:
        yield f"empty texts, whose vectors are those of the special tokens alone: {empty:,}"
    repeated = ids.warning()
    if repeated is not None:
        yield repeated
