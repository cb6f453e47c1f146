"""All texts in the files of a benchmark, whatever they mean."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from bertkit.data.sources import COMPRESSIONS
from bertkit.data.text_stream import text_blocks, text_lines
from bertkit.foundation.errors import InputError


def benchmark_files(names: Sequence[str | Path]) -> list[Path]:
    """Files of a format that is read, of folders (with their subfolders) and by name; sorted by folder."""
    files: list[Path] = []
    for name in map(Path, names):
        if name.is_dir():
            found = sorted(path for path in name.rglob("*") if path.is_file() and _suffix(path) in _READERS)
        else:
            found = [name]
        if not found or not found[0].is_file():
            raise InputError(f"{name} is neither a file nor a folder with {', '.join(_READERS)}: check the path")
        files += found
    return files


def file_texts(path: Path) -> Iterator[str]:
    """Cells of a table, strings of JSON and Parquet, sentences of CoNLL's columns, lines of anything else."""
    return _READERS.get(_suffix(path), _lines)(path)


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in COMPRESSIONS]
    return suffixes[-1] if suffixes else ""


def _lines(path: Path) -> Iterator[str]:
    return (line.rstrip("\r\n") for line in text_lines(path, "replace", lambda count: None))


def _cells(path: Path) -> Iterator[str]:
    return (cell for line in _lines(path) for cell in line.split("\t"))


def _quoted_cells(path: Path) -> Iterator[str]:
    csv.field_size_limit(sys.maxsize)
    return (cell for row in csv.reader(text_lines(path, "replace", lambda count: None)) for cell in row)


def _json_lines(path: Path) -> Iterator[str]:
    return (text for line in _lines(path) if line.strip() for text in _strings(_parsed(line, path)))


def _json(path: Path) -> Iterator[str]:
    return _strings(_parsed("".join(text_blocks(path, "replace", lambda count: None)), path))


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON ({error}): leave it out or write it again") from None


def _parquet(path: Path) -> Iterator[str]:
    import pyarrow as pa  # noqa: PLC0415  # 25 MB that other formats do not need
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from _strings(batch.to_pylist())
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is no readable Parquet file ({error}): leave it out or write it again") from None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        parts: Iterable[Any] = value.values() if isinstance(value, dict) else value
        for part in parts:
            yield from _strings(part)


def _columns(path: Path) -> Iterator[str]:
    rows = (line.split() for line in _lines(path))
    for filled, group in groupby(rows, bool):
        if filled:
            yield " ".join(row[0] for row in group)


_READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    ".txt": _lines,
    ".tsv": _cells,
    ".csv": _quoted_cells,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".parquet": _parquet,
    **dict.fromkeys((".conll", ".iob", ".train", ".testa", ".testb"), _columns),
}
