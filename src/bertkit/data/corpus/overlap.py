"""Which texts of benchmarks are in a corpus, as contamination of the evaluation.

After Brown et al. 2020 (appendix C): a text overlaps where a document has thirteen of its consecutive words, or, with 8
to 12 words, where it is a whole sentence of the corpus. Shorter texts are not judged, since they match by chance.
"""
# w words, g windows of thirteen words.

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import run_bounds
from bertkit.core.console import progress
from bertkit.core.errors import InputError
from bertkit.data.corpus.hashing import run_hashes, window_hashes
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.readers.sources import COMPRESSIONS
from bertkit.data.readers.text import text_blocks, text_lines
from bertkit.text.bulk_encoder import ChunkEncoder
from bertkit.text.vocabulary import WordEntries


def benchmark_files(names: Sequence[str | Path]) -> list[Path]:
    """The files by name, and of each folder (with its subfolders) those of a known format, sorted."""
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
    except RecursionError:
        raise InputError(f"{path} is nested too deeply to be read: leave it out or write it again") from None
    except ValueError as error:  # of the syntax, or a number of thousands of digits
        raise InputError(f"{path} is not valid JSON ({error}): leave it out or write it again") from None


def _parquet(path: Path) -> Iterator[str]:
    import pyarrow as pa  # noqa: PLC0415  # 25 MB that other formats do not need
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from _strings(batch.to_pylist())
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is not a readable Parquet file ({error}): leave it out or write it again") from None


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


WINDOW_WORDS = 13
SHORTEST_WORDS = 8
_TEXTS_AT_A_TIME = 8192
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class FileOverlap:
    """How many texts of at least eight words a file has, and how many of them are in the corpus."""

    file: str
    texts: int
    overlapping: int
    examples: tuple[str, ...]
    """The first texts that overlap."""

    @property
    def share(self) -> float:
        """Share of the texts that overlap."""
        return self.overlapping / max(1, self.texts)


def text_overlap(corpus: PreparedCorpus, files: Sequence[Path]) -> list[FileOverlap]:
    """Compare the corpus with all texts of the files; takes 24 bytes of memory for each of their words."""
    reader = _Reader(corpus)
    against = [(path, reader.keys(path)) for path in files]
    wanted = np.unique(np.concatenate([keys for _, (_, keys, _) in against]))
    found = np.zeros(len(wanted), bool)
    with progress("overlap", corpus.num_tokens, "tokens") as bar:
        for shard in range(len(corpus.manifest.shards) if len(wanted) else 0):
            keys = np.sort(reader.shard_keys(corpus, shard))
            places = np.searchsorted(wanted, keys)
            places[places == len(wanted)] = 0
            found[places[wanted[places] == keys]] = True
            bar.advance(corpus.manifest.shards[shard].tokens)
    return [
        _overlap(path, texts, owner[found[np.searchsorted(wanted, keys)]]) for path, (texts, keys, owner) in against
    ]


def _overlap(path: Path, texts: int, hits: NDArray[np.int64]) -> FileOverlap:
    numbers = np.unique(hits)
    shown = set(numbers[:_SHOWN].tolist())
    last = max(shown, default=-1) + 1
    examples = tuple(text for number, text in enumerate(islice(file_texts(path), last)) if number in shown)
    return FileOverlap(file=str(path), texts=texts, overlapping=len(numbers), examples=examples)


@dataclass
class _Reader:
    """Hashes, as keys, of the windows and of the short whole texts of files and of the corpus."""

    corpus: PreparedCorpus
    entries: WordEntries = field(init=False)

    def __post_init__(self) -> None:
        self.entries = WordEntries.of(self.corpus.tokenizer.wordpiece.vocabulary)
        self._encoder = ChunkEncoder(self.corpus.tokenizer)

    def keys(self, path: Path) -> tuple[int, NDArray[np.uint64], NDArray[np.int64]]:
        """How many texts are judged, their keys, and for each key the number of its text."""
        keys, owners, judged, first = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], 0, 0
        for texts in _portions(file_texts(path)):
            ids, lengths = self._encoder.encode_lines(texts)
            words, text_words = self._words(ids, run_bounds(lengths))
            for some, owner in (_windows(words, text_words), _wholes(words, text_words)):
                keys.append(some)
                owners.append(first + owner)
            judged += int((np.diff(text_words) >= SHORTEST_WORDS).sum())
            first += len(texts)
        return judged, np.concatenate(keys), np.concatenate(owners)

    def shard_keys(self, corpus: PreparedCorpus, shard: int) -> NDArray[np.uint64]:
        """Keys of a shard's windows and of its sentences of 8 to 12 words."""
        start, stop = corpus.shard_tokens[shard : shard + 2].tolist()
        first, last = np.searchsorted(corpus.sentence_tokens, [start, stop])
        sentences = corpus.sentence_tokens[first : last + 1] - start
        words, sentence_words = self._words(corpus.tokens(start, stop), sentences)
        begins, ends = np.searchsorted(corpus.document_sentences, [first, last])
        document_words = sentence_words[corpus.document_sentences[begins : ends + 1] - first]
        return np.concatenate([_windows(words, document_words)[0], _wholes(words, sentence_words)[0]])

    def _words(
        self, ids: NDArray[np.unsignedinteger[Any]], bounds: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Hashes (w,) of the words of runs of tokens, and the first word of each run."""
        pieces, word_bounds, places = self.entries.words(ids)
        return run_hashes(pieces, word_bounds), np.searchsorted(places, bounds)


def _windows(words: NDArray[np.uint64], bounds: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes (g,) of the windows within a run, and the run of each."""
    hashes = window_hashes(words, WINDOW_WORDS)
    run = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))[: len(hashes)]
    inside = np.arange(len(hashes)) + WINDOW_WORDS <= bounds[run + 1]
    return hashes[inside], run[inside]


def _wholes(words: NDArray[np.uint64], bounds: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of the runs of 8 to 12 words, and their numbers."""
    lengths = np.diff(bounds)
    chosen = np.flatnonzero((lengths >= SHORTEST_WORDS) & (lengths < WINDOW_WORDS))
    return run_hashes(words, bounds)[chosen], chosen


def _portions(texts: Iterator[str]) -> Iterator[list[str]]:
    while portion := list(islice(texts, _TEXTS_AT_A_TIME)):
        yield portion
