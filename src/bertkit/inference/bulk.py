"""Work on any number of texts in parts: kept when a call is stopped, dealt to workers and machines, joined at the end.

A part is what became of some thousand texts, in a file of its own. It is named by its texts and by what it was made
with, and holds its own checksum: parts that are there and whole are never made again, whoever made them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from bertkit.core.checksums import file_digest
from bertkit.core.console import note, progress
from bertkit.core.errors import BertkitError, InputError
from bertkit.core.files import atomic_path, exclusive, read_json, remove_leftovers, write_json
from bertkit.core.workers import EngineName, EngineOptions, MachineShard

if TYPE_CHECKING:
    from bertkit.inference.predictor import Predictor

_SUFFIX = ".part"
_RECORD = "record.json"
_SHARD_FOLDER = "shard-{number}-of-{of}"

TextsT = TypeVar("TextsT")
TextsT_contra = TypeVar("TextsT_contra", contravariant=True)
ResultT = TypeVar("ResultT")
Advance = Callable[[float], None]
"""Told of the number of further texts that are done."""


@dataclass(frozen=True, kw_only=True)
class BulkOptions(EngineOptions):
    """Who does the work; the output is the same."""

    engine: EngineName = "processes"
    """Processes of this machine, or tasks of Ray, whose machines must all reach MODEL and OUTPUT by the same path."""

    workers: int | None = None
    """Processes side by side; unless given, this process alone, or with Ray one per CPU core of this machine."""

    shard: str | None = None
    """Compute one machine's part, such as 2/4: give the same command on four machines, each with its part."""

    merge: bool = False
    """Write OUTPUT from the parts of all machines; needs neither MODEL nor texts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers must be at least 1, got {self.workers}")
        if self.merge and self.shard is not None:
            raise InputError("--merge joins the parts of all machines: leave out --shard")
        if self.shard is not None:
            MachineShard.parse(self.shard)

    @property
    def machine_shard(self) -> MachineShard:
        """Which part is this machine's."""
        return MachineShard() if self.shard is None else MachineShard.parse(self.shard)

    @property
    def processes(self) -> int:
        """How many work side by side."""
        if self.workers is not None:
            return self.workers
        return (os.cpu_count() or 1) if self.engine == "ray" else 1

    @property
    def worker_threads(self) -> int:
        """Cores that each of several workers uses."""
        return 1 if self.engine == "ray" else max(1, (os.cpu_count() or 1) // self.processes)

    @property
    def is_alone(self) -> bool:
        """Whether this process does all of the work itself."""
        return self.engine == "processes" and self.processes == 1


ALONE = BulkOptions()


@dataclass(frozen=True, kw_only=True)
class Chunk(Generic[TextsT]):
    """The texts of one part."""

    texts: TextsT
    count: int
    content: bytes
    """All that the part depends on beside what it is made with."""


@dataclass(frozen=True, kw_only=True)
class ChunkSource(Generic[TextsT]):
    """A file, or another place that texts come from, in chunks; reading it may raise a `BertkitError`."""

    origin: str
    chunks: Iterator[Chunk[TextsT]]


class Work(Protocol[TextsT_contra]):
    """What is done with the texts of a chunk; it is sent to the processes that do it."""

    @property
    def made_with(self) -> Mapping[str, Any]:
        """What decides the bytes of a part beside its texts, as JSON holds it."""

    def make(self, texts: TextsT_contra, advance: Advance) -> bytes | memoryview:
        """The content of a part."""


Payloads = Iterator[memoryview]
"""The contents of all parts in the order of the texts."""
Finish = Callable[[Mapping[str, Any], Payloads], ResultT]
"""Writes the output, from what `Work.made_with` says and the contents."""


def run_bulk(
    output: Path,
    sources: Sequence[ChunkSource[TextsT]],
    work: Work[TextsT],
    finish: Finish[ResultT],
    options: BulkOptions = ALONE,
    share_read: Callable[[], float | None] = lambda: None,
) -> ResultT | None:
    """Make the parts that are missing in a hidden folder beside `output`, and `finish` it; None after a shard alone.

    A source that cannot be read costs that source: the parts of the others are made and kept, then `InputError` names
    it, and `output` is not written. The same call made again makes what is missing. `share_read` says how much of all
    texts has been read, None where nobody knows.
    """
    shard = options.machine_shard
    with _part_folder(output, shard) as folder:
        made_with = dict(work.made_with)
        keys = _make_parts(folder, sources, work, made_with, options, share_read)
        if options.shard is None:
            result = finish(made_with, (_read_part(_part_path(folder, key)) for key, _ in keys))
            shutil.rmtree(folder)
            return result
        write_json(_record_path(folder, shard), {"made_with": made_with, "keys": keys})
    missing = [other for other in shard.all() if not _record_path(folder, other).is_file()]
    if missing:
        note(f"part {shard} of {output} is done; still to come: {', '.join(map(str, missing))}")
        return None
    try:
        _agreed(_folder(output), output)
        note(f"all {shard.of} parts of {output} are done: write it with --merge --output {output}")
    except InputError as error:
        note(f"part {shard} of {output} is done, but cannot be merged yet: {error}")
    return None


def merge_bulk(output: Path, command: str, finish: Finish[ResultT]) -> ResultT:
    """Finish `output` from the parts that `--shard` calls of `command` left in the hidden folder beside it."""
    folder = _folder(output)
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist: make the parts with --shard 1/N to N/N, or copy their folders here")
    with exclusive(folder):
        made_with, keys, shards = _agreed(folder, output)
        if made_with.get("command") != command:
            raise InputError(f"the parts of {output} are of `bertkit {made_with.get('command')}`: merge them with that")
        for key, shard in zip(keys, shards, strict=True):
            if _whole_part(_part_path(folder, key)) is None:
                raise InputError(
                    f"a part of shard {shard} is missing or damaged in {folder}: run it with --shard {shard} again, or "
                    "copy it again from the machine that did"
                )
        result = finish(made_with, (_read_part(_part_path(folder, key)) for key in keys))
        shutil.rmtree(folder)
    return result


def _agreed(folder: Path, output: Path) -> tuple[dict[str, Any], list[str], list[str]]:
    """What the shards were made with, the keys of all parts, and each one's shard; `InputError` unless all match."""
    found: dict[MachineShard, dict[str, Any]] = {}
    for path in sorted(folder.glob(f"{_SHARD_FOLDER.format(number='*', of='*')}/{_RECORD}")):
        _, number, _, of = path.parent.name.split("-")
        found[MachineShard(int(number), int(of))] = read_json(path)
    if not found:
        raise InputError(f"{folder} has no finished shard: make them with --shard 1/N to N/N")
    counts = sorted({shard.of for shard in found})
    if len(counts) > 1:
        raise InputError(
            f"{folder} has shards of {' and of '.join(map(str, counts))}: remove the folders that do not belong to it"
        )
    first, *others = sorted(found, key=lambda shard: shard.number)
    for other in others:
        if (what := _difference(found[first], found[other])) is not None:
            raise InputError(
                f"shard {other} of {output} was made with another {what} than shard {first}: make it again like the "
                "others"
            )
    if missing := [str(shard) for shard in first.all() if shard not in found]:
        raise InputError(
            f"{output} lacks shard {', '.join(missing)}: make it with --shard {missing[0]}, or copy the folder of the "
            "machine that did"
        )
    keys = found[first]["keys"]
    owners = [str(MachineShard(owner + 1, first.of)) for _, owner in keys]
    return found[first]["made_with"], [key for key, _ in keys], owners


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    names = sorted({*one["made_with"], *other["made_with"]})
    different = [name for name in names if one["made_with"].get(name) != other["made_with"].get(name)]
    if different:
        return str(different[0])
    return "text" if one["keys"] != other["keys"] else None


def has_parts(output: Path) -> bool:
    """Whether a call has begun `output`, whose parts it removes at its very end."""
    return _folder(output).is_dir()


def _folder(output: Path) -> Path:
    return output.with_name(f".{output.name}.parts")


def _part_path(folder: Path, key: str) -> Path:
    return folder / f"{key}{_SUFFIX}"


def _record_path(folder: Path, shard: MachineShard) -> Path:
    return folder / _SHARD_FOLDER.format(number=shard.number, of=shard.of) / _RECORD


@contextmanager
def _part_folder(output: Path, shard: MachineShard) -> Iterator[Path]:
    """The folder of finished parts, for this process or for a shard each; it goes when nothing in it is to be kept."""
    folder = _folder(output)
    with exclusive(folder, shared=shard.of > 1):
        try:
            if shard.of == 1:
                remove_leftovers(folder)
                yield folder
            else:
                with exclusive(_record_path(folder, shard).parent):
                    yield folder
        finally:
            if shard.of == 1 and not any(folder.glob(f"*{_SUFFIX}")):
                shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class _PartTask(Generic[TextsT]):
    """A part that is to be made."""

    work: Work[TextsT]
    texts: TextsT
    count: int
    path: Path


def _make_part(task: _PartTask[Any], advance: Advance = lambda count: None) -> int:
    content = task.work.make(task.texts, advance)
    with atomic_path(task.path) as temporary, temporary.open("wb") as file:
        file.write(hashlib.sha256(content).digest())
        file.write(content)
    return task.count


def _whole_part(path: Path) -> memoryview | None:
    """What `_make_part` wrote; None where it is not there or not whole."""
    try:
        content = memoryview(path.read_bytes())
    except FileNotFoundError:
        return None
    digest_size = hashlib.sha256().digest_size
    found, content = bytes(content[:digest_size]), content[digest_size:]
    return content if hashlib.sha256(content).digest() == found else None


def _read_part(path: Path) -> memoryview:
    content = _whole_part(path)
    if content is None:
        raise InputError(f"{path} was damaged after it had been made: give the same command again")
    return content


def _make_parts(
    folder: Path,
    sources: Sequence[ChunkSource[TextsT]],
    work: Work[TextsT],
    made_with: Mapping[str, Any],
    options: BulkOptions,
    share_read: Callable[[], float | None],
) -> list[tuple[str, int]]:
    """The keys of all parts in the texts' order and their shards from 0; this shard's are made where they are missing.

    A chunk's shard depends on its source and its place in that, so that a source which grows moves no other's.
    """
    shard = options.machine_shard
    about = json.dumps(made_with, sort_keys=True).encode()
    keys: list[tuple[str, int]] = []
    failed: dict[str, BertkitError] = {}
    given = 0
    with progress("texts", None, "texts") as bar, options.open(options.processes) as engine:

        def tasks() -> Iterator[_PartTask[TextsT]]:
            nonlocal given
            wanted: set[str] = set()
            for place, source in enumerate(sources):
                try:
                    for number, chunk in enumerate(source.chunks, place):
                        key = _key(about, chunk.content)
                        owner = number % shard.of
                        keys.append((key, owner))
                        if owner != shard.number - 1 or key in wanted:
                            continue
                        wanted.add(key)
                        given += chunk.count
                        if share := share_read():
                            bar.expect(given / share)
                        path = _part_path(folder, key)
                        if _whole_part(path) is not None:
                            bar.advance(chunk.count)
                            continue
                        yield _PartTask(work=work, texts=chunk.texts, count=chunk.count, path=path)
                except BertkitError as error:
                    failed[source.origin] = error

        if options.is_alone:
            for _ in engine.map(partial(_make_part, advance=bar.advance), tasks()):
                pass
        else:
            for count in engine.map(_make_part, tasks()):
                bar.advance(count)
    _raise_failed(failed, len(sources))
    return keys


def _key(about: bytes, content: bytes) -> str:
    digest = hashlib.blake2b(about, digest_size=16)
    digest.update(content)
    return digest.hexdigest()


def _raise_failed(failed: Mapping[str, BertkitError], count: int) -> None:
    """One source's own error, or one line that names those of several that could not be read."""
    if not failed:
        return
    first = next(iter(failed.values()))
    if count == 1:
        raise first
    others = f"; also {', '.join(list(failed)[1:])}" if len(failed) > 1 else ""
    raise type(first)(
        f"{first}{others}. {len(failed)} of {count} files could not be read; what was made of the others is kept: "
        "correct them or leave them out, and give the same command again"
    )


class SharedModel:
    """A loaded model that other processes, which get this object, load for themselves, once each."""

    def __init__(self, predictor: Predictor, load: partial[Predictor], options: BulkOptions = ALONE) -> None:
        self._predictor: Predictor | None = predictor
        backend = predictor.model.engine.backend  # another machine's own choice might have other bits
        self._load = partial(load, backend=backend.name, precision=backend.precision, threads=options.worker_threads)

    def __getstate__(self) -> dict[str, Any]:
        return {"_predictor": None, "_load": self._load}

    @property
    def predictor(self) -> Predictor:
        """The model of this process."""
        if self._predictor is None:
            call = (self._load.func, self._load.args, tuple(sorted(self._load.keywords.items())))
            self._predictor = _loaded(*call)
        return self._predictor

    @property
    def made_with(self) -> dict[str, Any]:
        """What of the model decides its results."""
        model = self.predictor.model
        backend = model.engine.backend
        return {
            "model": [file_digest(path, remembered=True) for path in model.folder.weight_files],
            "tokenizer": model.tokenizer.fingerprint,
            "backend": backend.name,
            "precision": backend.precision,
            "device": backend.device,
        }


@lru_cache(maxsize=1)
def _loaded(
    load: Callable[..., Predictor], arguments: tuple[Any, ...], named: tuple[tuple[str, Any], ...]
) -> Predictor:
    return load(*arguments, **dict(named))
