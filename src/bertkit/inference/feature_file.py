"""A file of vectors of any number of texts, part by part, so that a run that was stopped is resumed."""
# N texts.

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from bertkit.core.console import progress
from bertkit.core.files import atomic_path, exclusive, remove_leftovers
from bertkit.data.readers.text import TextRow
from bertkit.inference.features import FeaturePlan, extract_features
from bertkit.inference.loaded_model import LoadedModel
from bertkit.inference.seen_ids import SeenIds
from bertkit.inference.vector_files import ID, check_vector_path, empty_and_cut, vector_table, vector_writer

_FORMAT = 2
_PART_TEXTS = 8192
_PART_CHARACTERS = 1 << 24
_PART_BYTES = 1 << 28
_PART_SUFFIX = ".arrow"


@dataclass(frozen=True, kw_only=True)
class WrittenFeatures:
    """What was written, counted."""

    texts: int
    width: int
    warnings: tuple[str, ...]
    """What a user should know of the texts, a line each."""


def write_features(
    model: LoadedModel,
    rows: Iterable[TextRow],
    output: Path,
    plan: FeaturePlan,
    *,
    with_ids: bool = True,
    inputs: Collection[str | Path] = (),
    overwrite: bool = False,
    share_read: Callable[[], float | None] = lambda: None,
) -> WrittenFeatures:
    """Carry out `plan` on every text and write `output`, .npy or .parquet; see `vector_writer`.

    `output` is none of the files `inputs`; what is there already stays without `overwrite`.

    Memory does not grow with the number of texts. Parts are kept in a hidden folder beside `output` until it is whole,
    each named by its texts, the model and the plan: a call that was killed resumes when it is made again, and ends with
    the same bytes. `share_read` says how much of all texts has been read, None where nobody knows.
    """
    check_vector_path(output, with_ids=with_ids, is_per_token=plan.is_per_token, inputs=inputs, overwrite=overwrite)
    with _part_folder(output) as folder:
        parts = [*_make_parts(model, rows, folder, plan, share_read)]
        texts = empty = cut = 0
        ids = SeenIds()
        with vector_writer(output, with_ids=with_ids, inputs=inputs, overwrite=overwrite) as writer:
            for part in parts:
                table = _read(part)
                writer.write(table)
                empty_here, cut_here = empty_and_cut(table)
                texts, empty, cut = texts + len(table), empty + empty_here, cut + cut_here
                ids.add(table[ID].to_pylist())
        shutil.rmtree(folder)
    return WrittenFeatures(texts=texts, width=plan.width, warnings=tuple(_warnings(plan, empty, cut, ids)))


@contextmanager
def _part_folder(output: Path) -> Iterator[Path]:
    """The folder of finished parts, for this process alone; it goes when there is nothing in it to keep."""
    folder = output.with_name(f".{output.name}.parts")
    with exclusive(folder):
        remove_leftovers(folder)
        try:
            yield folder
        finally:
            if not any(folder.glob(f"*{_PART_SUFFIX}")):
                shutil.rmtree(folder, ignore_errors=True)


def _make_parts(
    model: LoadedModel,
    rows: Iterable[TextRow],
    folder: Path,
    plan: FeaturePlan,
    share_read: Callable[[], float | None],
) -> Iterator[Path]:
    """Yield the parts in order, made where they are not there already."""
    vocabulary = model.tokenizer.subwords.vocabulary if plan.is_per_token else None
    made_by = _fingerprint(model, plan)
    done = 0
    with progress("vectors", None, "texts") as bar:
        for number, chunk in enumerate(_chunks(rows, plan)):
            share = share_read()
            if share:
                bar.expect((done + len(chunk)) / share)
            path = folder / f"{number:06d}-{_key(made_by, chunk)}{_PART_SUFFIX}"
            if path.is_file():
                bar.advance(len(chunk))
            else:
                features = extract_features(model, [row.text for row in chunk], plan, bar.advance)
                _write(path, vector_table(chunk, features, vocabulary))
            done += len(chunk)
            yield path


def _chunks(rows: Iterable[TextRow], plan: FeaturePlan) -> Iterator[list[TextRow]]:
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
            yield chunk
            chunk, characters, size = [], 0, 0
    if chunk:
        yield chunk


def _fingerprint(model: LoadedModel, plan: FeaturePlan) -> bytes:
    """What decides the vectors of a text; files of weights count by path, size and time of change."""
    files = [path.resolve() for path in model.folder.weight_files]
    weights = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    backend = model.engine.backend
    made_by = [backend.name, backend.precision, backend.device]
    described = [_FORMAT, weights, model.tokenizer.fingerprint, *made_by, asdict(plan)]
    return json.dumps(described).encode()


def _key(made_by: bytes, chunk: Sequence[TextRow]) -> str:
    digest = hashlib.blake2b(made_by, digest_size=16)
    digest.update(json.dumps([[row.id, row.text] for row in chunk]).encode())
    return digest.hexdigest()


def _write(path: Path, table: Any) -> None:
    with atomic_path(path) as temporary, pa.ipc.new_file(str(temporary), table.schema) as file:
        file.write_table(table)


def _read(path: Path) -> Any:
    with pa.memory_map(str(path)) as mapped:
        return pa.ipc.open_file(mapped).read_all()


def _warnings(plan: FeaturePlan, empty: int, cut: int, ids: SeenIds) -> Iterator[str]:
    if cut:
        yield f"texts cut at max_length {plan.max_length} tokens: {cut:,}"
    if empty:
        yield f"empty texts, whose vectors are those of the special tokens alone: {empty:,}"
    repeated = ids.warning()
    if repeated is not None:
        yield repeated
