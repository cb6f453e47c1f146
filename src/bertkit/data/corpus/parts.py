"""One machine's part of a preparation, and the parts put together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from bertkit.core.arguments import checked
from bertkit.core.console import note
from bertkit.core.errors import InputError
from bertkit.core.files import atomic_folder, exclusive, remove_leftovers
from bertkit.core.records import Count, read_record, write_record
from bertkit.core.workers import MachineShard
from bertkit.data.corpus.hashing import write_shard_hashes
from bertkit.data.corpus.manifest import Manifest, ShardRecord
from bertkit.data.corpus.options import DuplicateOptions, PrepareOptions
from bertkit.data.corpus.output_folder import WORK, StagingFolder, claim, finished_folder, tidy
from bertkit.data.corpus.prepare import Description, assemble, corpus_fingerprint, describe, warn_of_one_document
from bertkit.data.corpus.prepared import prepared_tokenizer
from bertkit.data.corpus.shards import shard_name
from bertkit.data.corpus.write_shards import finished_shard, write_shards
from bertkit.data.readers.sources import Names, resolve_sources
from bertkit.text.tokenizer import Tokenizer

_RECORD = "record.json"
_FOLDER = "part-{number}-of-{of}"


@dataclass(frozen=True, kw_only=True)
class PartRecord:
    """A finished part, with what has to be the same in all parts of a corpus."""

    part: MachineShard
    shards: Count
    text_sha256: str
    about: Description

    @classmethod
    def read(cls, path: Path) -> PartRecord:
        """Read what `prepare_part` wrote."""
        return read_record(path, cls, "run `bertkit prepare` of this part again, or copy it again")

    def difference(self, other: PartRecord) -> str | None:
        """Why the two are not parts of one corpus, None if they are."""
        mine, theirs = self.about, other.about
        for what, same in (
            ("another tokenizer", mine.tokenizer_fingerprint == theirs.tokenizer_fingerprint),
            ("other options", mine.options == theirs.options),
            ("other files", mine.sources == theirs.sources),
            ("other text", (self.shards, self.text_sha256) == (other.shards, other.text_sha256)),
        ):
            if not same:
                return what
        return None


@checked
def prepare_part(
    sources: Names,
    tokenizer: Tokenizer | str | Path,
    out: str | Path,
    part: MachineShard,
    options: PrepareOptions | None = None,
) -> list[ShardRecord] | None:
    """Write every `part.of`-th shard into `out`, a folder that all machines share or that is copied together later.

    Every machine reads the whole text and tokenises its part; `merge_parts` finishes the folder. Returns None where
    the folder is finished already. Whatever is finished stays after an error.
    """
    options = options or PrepareOptions()
    out, tokenizer = Path(out), Tokenizer.opened(tokenizer)
    found = resolve_sources(sources)
    own = _folder(out, part)
    with exclusive(out, shared=True):
        claim(out, corpus_fingerprint(found, tokenizer, options), options.overwrite)
        if finished_folder(out, Manifest.read) is not None:
            return None
        with exclusive(own), options.engine.open(options.workers) as engine:
            written = write_shards(
                found,
                tokenizer,
                own / "tokenizer",
                StagingFolder.of(out, in_place=not options.duplicates.any),
                reading=options.corpus,
                near=options.duplicates.drop_near_duplicates is not None,
                engine=engine,
                part=part,
            )
        about = describe(found, tokenizer, options)
        record = PartRecord(part=part, shards=written.total, text_sha256=written.text_sha256, about=about)
        write_record(own / _RECORD, asdict(record))
    if missing := [other for other in part.all() if not (_folder(out, other) / _RECORD).is_file()]:
        note(f"part {part} of {out} is done; still to come: {', '.join(map(str, missing))}")
    else:
        note(f"all {part.of} parts of {out} are done: finish it with `bertkit prepare --merge --out {out}`")
    return written.records


@checked
def merge_parts(out: str | Path, options: PrepareOptions | None = None) -> Manifest:
    """Finish a folder that holds all parts, with the bytes that one machine would have written.

    Of the options only workers and engine matter here.
    """
    options = options or PrepareOptions()
    out = Path(out)
    if not out.is_dir():
        raise InputError(f"{out} does not exist: give the folder with the parts of `bertkit prepare --shard`")
    with exclusive(out):
        remove_leftovers(out)
        remove_leftovers(out / WORK)
        if (finished := finished_folder(out, Manifest.read)) is not None:
            return finished
        record = _agreed(out)
        stage = StagingFolder.of(out, in_place=not DuplicateOptions.of(record.about.options).any)
        remove_leftovers(stage.work)
        records = [_shard(out, stage, index, record) for index in range(record.shards)]
        with atomic_folder(out / "tokenizer") as folder:
            prepared_tokenizer(_folder(out, record.part), record.about.tokenizer_fingerprint).save_pretrained(folder)
        with options.engine.open(options.workers) as engine:
            manifest = assemble(out, stage, records, record.about, engine)
        tidy(out / WORK)
    warn_of_one_document(manifest, out)
    return manifest


def _folder(out: Path, part: MachineShard) -> Path:
    return out / WORK / _FOLDER.format(number=part.number, of=part.of)


def _agreed(out: Path) -> PartRecord:
    """The record of the first part; raises `InputError` unless all parts are there and match."""
    paths = sorted((out / WORK).glob(f"{_FOLDER.format(number='*', of='*')}/{_RECORD}"))
    records = sorted((PartRecord.read(path) for path in paths), key=lambda record: record.part.number)
    if not records:
        raise InputError(f"{out} has no finished part: make them with `bertkit prepare --shard 1/N` to N/N")
    first = records[0]
    counts = sorted({record.part.of for record in records})
    if len(counts) > 1:
        raise InputError(
            f"{out} has parts of {' and of '.join(map(str, counts))}: remove the {_FOLDER.format(number='*', of='N')} "
            f"folders in {out / WORK} that do not belong to it"
        )
    for record in records[1:]:
        if (what := record.difference(first)) is not None:
            raise InputError(
                f"part {record.part} of {out} was prepared with {what} than part {first.part}: prepare it again like "
                "the others"
            )
    if missing := [str(part) for part in first.part.all() if part not in [record.part for record in records]]:
        raise InputError(
            f"{out} lacks part {', '.join(missing)}: make it with `bertkit prepare --shard {missing[0]}`, or copy the "
            "folder of the machine that did"
        )
    return first


def _shard(out: Path, stage: StagingFolder, index: int, about: PartRecord) -> ShardRecord:
    """The record of a shard that is whole, with its hashes."""
    name = shard_name(index)
    record = finished_shard(stage.folder, stage.work, name)
    if record is None:
        part = next(part for part in about.part.all() if part.has(index))
        raise InputError(
            f"{name} of part {part} is missing or damaged in {out}: run `bertkit prepare --shard {part}` again, or "
            "copy it again from the machine that did"
        )
    near = DuplicateOptions.of(about.about.options).drop_near_duplicates is not None
    write_shard_hashes(stage.folder, stage.work, name, near=near)
    return record
