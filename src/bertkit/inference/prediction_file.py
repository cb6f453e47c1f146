"""A file of predictions of any number of examples, part by part, so that a run that was stopped is resumed."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertkit.core.errors import InputError
from bertkit.core.outputs import check_output_file, output_file
from bertkit.inference.bulk import (
    ALONE,
    Advance,
    BulkOptions,
    Chunk,
    ChunkSource,
    Finish,
    Payloads,
    SharedModel,
    has_parts,
    merge_bulk,
    run_bulk,
)
from bertkit.inference.prediction_formats import PREDICTION_FORMATS, Predicted
from bertkit.inference.predictor import Predictor
from bertkit.inference.seen_ids import SeenIds
from bertkit.tasks.examples import Examples

_COMMAND = "predict"
_NO_IDS: tuple[Any, ...] = ()


@dataclass(frozen=True)
class SomeExamples:
    """Examples of one stretch of the input, and their ids where a column has them."""

    examples: Examples
    ids: Sequence[Any] | None = None

    def records(self) -> Iterator[dict[str, Any]]:
        """Each example by its columns, the id first where there is one."""
        for index in range(len(self.examples)):
            named = {} if self.ids is None else {"id": self.ids[index]}
            yield named | self.examples.record(index) | named


@dataclass(frozen=True)
class ExampleSource:
    """A file, or another place that examples come from; reading it raises `InputError` where that fails."""

    origin: str
    """What messages call it."""
    parts: Iterator[SomeExamples]


@dataclass(frozen=True, kw_only=True)
class WrittenPredictions:
    """What was written, counted."""

    count: int
    warnings: tuple[str, ...]
    """What a user should know of the examples, a line each."""
    repeated_ids: str | None
    """How many of the ids are not the first of theirs, None where all are."""


def predict_some(
    predictor: Predictor,
    some: SomeExamples,
    *,
    max_length: int | None = None,
    say: Callable[[str], None],
    advance: Advance = lambda count: None,
) -> Iterator[Predicted]:
    """The predictions with what they are said of; `say` gets the warnings of reading and encoding."""
    for warning in some.examples.warnings:
        say(warning)
    found = predictor.predictions(some.examples, max_length=max_length, say=say, advance=advance)
    for index, (record, prediction) in enumerate(zip(some.records(), found, strict=True)):
        yield Predicted(record, some.examples.marked_text(index), prediction)


def check_prediction_path(path: Path, *, inputs: Collection[str | Path] = (), overwrite: bool = False) -> None:
    """Raise `InputError` where the suffix names no format or `core.outputs` refuses the file."""
    if path.suffix not in PREDICTION_FORMATS:
        raise InputError(f"{path} must end in {', '.join(PREDICTION_FORMATS)}: the suffix chooses the format")
    check_output_file(path, inputs=inputs, overwrite=overwrite, resumed=has_parts(path))


def write_predictions(
    shared: SharedModel,
    sources: Sequence[ExampleSource],
    output: Path,
    *,
    max_length: int | None = None,
    escape_formulas: bool = False,
    inputs: Collection[str | Path] = (),
    overwrite: bool = False,
    options: BulkOptions = ALONE,
    share_read: Callable[[], float | None] = lambda: None,
) -> WrittenPredictions | None:
    """Predict every example and write `output`, .jsonl, .csv or .tsv; None after a shard.

    `output` is none of the files `inputs`; what is there already stays without `overwrite`.

    Memory does not grow with the number of examples. A call that was killed resumes when it is made again, and ends
    with the same bytes; see `run_bulk`, also on files that cannot be read.
    """
    check_prediction_path(output, inputs=inputs, overwrite=overwrite)
    work = _Predictions(shared, output.suffix, max_length, escape_formulas=escape_formulas)
    chunked = [ChunkSource(origin=source.origin, chunks=map(_chunk, source.parts)) for source in sources]
    return run_bulk(output, chunked, work, _finish(output, inputs, overwrite=overwrite), options, share_read)


def merge_predictions(output: Path, *, overwrite: bool = False) -> WrittenPredictions:
    """Write `output` from the parts that the shards of a `write_predictions` left beside it."""
    check_prediction_path(output, overwrite=overwrite)
    return merge_bulk(output, _COMMAND, _finish(output, (), overwrite=overwrite))


def _chunk(some: SomeExamples) -> Chunk[SomeExamples]:
    content = json.dumps(list(some.records()), default=str).encode()
    return Chunk(texts=some, count=len(some.examples), content=content)


class _Predictions:
    """The work: examples to lines of a file, below a line that says what they are."""

    def __init__(self, shared: SharedModel, suffix: str, max_length: int | None, *, escape_formulas: bool) -> None:
        self._shared, self._suffix, self._max_length = shared, suffix, max_length
        self._more = {"escape_formulas": True} if escape_formulas else {}
        task = shared.predictor.task
        self.made_with = {
            **shared.made_with,
            "task": hashlib.sha256(repr(task).encode()).hexdigest(),
            "max_length": max_length,
            "format": suffix,
            "escape_formulas": escape_formulas,
            "command": _COMMAND,
        }

    def make(self, texts: SomeExamples, advance: Advance) -> bytes:
        """The line, then the names of the columns, then the predictions."""
        raw = io.BytesIO()
        warnings: list[str] = []
        names = 0
        with io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = PREDICTION_FORMATS[self._suffix](file, **self._more)
            found = predict_some(
                self._shared.predictor, texts, max_length=self._max_length, say=warnings.append, advance=advance
            )
            for index, one in enumerate(found):
                if not index:
                    writer.write_names(one)
                    file.flush()
                    names = raw.tell()
                writer.write(one)
            file.flush()
            content = raw.getvalue()
        ids = _NO_IDS if texts.ids is None else list(map(str, texts.ids))
        about = {"count": len(texts.examples), "names": names, "warnings": warnings, "ids": ids}
        return json.dumps(about).encode() + b"\n" + content


def _finish(output: Path, inputs: Collection[str | Path], *, overwrite: bool) -> Finish[WrittenPredictions]:
    def write(made_with: Mapping[str, Any], payloads: Payloads) -> WrittenPredictions:
        count, warnings, ids = 0, [], SeenIds()
        first_names: bytes | None = None
        whole = output_file(output, inputs=inputs, overwrite=overwrite, resumed=has_parts(output))
        with whole as temporary, temporary.open("wb") as file:
            for payload in payloads:
                line, _, content = bytes(payload).partition(b"\n")
                about = json.loads(line)
                names, rows = content[: about["names"]], content[about["names"] :]
                if first_names is None:
                    first_names = names
                    file.write(names)
                elif names != first_names:
                    raise InputError(
                        f"the files have other columns than each other, and {output} can have one set of them: "
                        "write .jsonl, or give the files in several calls"
                    )
                file.write(rows)
                count += about["count"]
                warnings += about["warnings"]
                ids.add(about["ids"])
            if not count:
                raise InputError(f"{output} would have no rows: the files given hold no text")
        return WrittenPredictions(count=count, warnings=tuple(warnings), repeated_ids=ids.warning())

    return write
