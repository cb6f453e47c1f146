"""`bertkit predict` and `bertkit fill-mask`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bertkit.cli.inputs import InputOptions, input_files, read_text_chunks
from bertkit.cli.outputs import Delimited, Highlighted, JsonLines, Lines, Predicted, PredictionWriter
from bertkit.core.errors import InputError
from bertkit.core.machine import Precision
from bertkit.data.readers.sources import HubDataset, resolve_sources
from bertkit.data.readers.tables import RowOptions, read_table_parts
from bertkit.data.readers.text import BytesSeen, EncodingErrors
from bertkit.tasks.options import TableOptions

if TYPE_CHECKING:
    from bertkit.tasks.contract import Task
    from bertkit.tasks.examples import Examples

_FILES: dict[str, Callable[..., PredictionWriter]] = {
    ".jsonl": JsonLines,
    ".csv": Delimited,
    ".tsv": partial(Delimited, tabs=True),
}
_MOST_WARNINGS = 10


@dataclass(frozen=True, kw_only=True)
class TaskInputOptions(InputOptions):
    """Texts, or the examples of a table, for a model of a task.

    Parameters
    ----------
    input
        Texts, one per line (.txt), or a table (CSV, TSV, JSONL, Parquet, hub data set) with the columns of fine-tuning
        unless others are named; also SQuAD's JSON and CoNLL's columns. - is standard input, with one text per line,
        which is also read when no text is given.
    pair
        Every line is two texts, separated by a tab.
    text_pair
        Column of the second text in a table.
    choices
        Columns of the choices in a table, one each, or one with lists.
    header
        Whether the first line of CSV and TSV names the columns.
    id
        Column of the texts' ids in a table, which are written beside the predictions.
    """

    pair: bool = False
    text_pair: str | None = None
    choices: tuple[str, ...] | None = None
    header: bool | None = None
    id: str | None = None


def predict(
    model: str,
    /,
    *texts: str,
    source: Annotated[TaskInputOptions, Parameter(name="*")] = TaskInputOptions(),
    output: Path | None = None,
    max_length: int | None = None,
    precision: Precision = "float32",
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    escape_formulas: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Apply a fine-tuned model to texts: labels, scores, answers, choices or entities, with their probabilities.

    On a terminal answers and entities are highlighted in their texts; elsewhere each line holds the prediction, its
    probability and the text, separated by tabs.

    Parameters
    ----------
    model
        Folder that `bertkit finetune` wrote, a fine-tuned model of Hugging Face's, or a hub name.
    texts
        Texts; with --pair each is two texts, separated by a tab. For questions: the question and the text that may
        answer it, separated by a tab; for multiple choice: the question and the choices, separated by tabs.
    output
        File to write: .jsonl with all probabilities and positions, or .csv or .tsv with one column each.
    max_length
        Tokens that a text is cut to, with special tokens; unless given, the length of fine-tuning.
    precision
        bf16 is faster where the device supports it; auto uses it there.
    json_output
        Print a JSON object per line, with all probabilities and positions.
    escape_formulas
        Put an apostrophe before texts in .csv and .tsv that a spreadsheet would run as a formula.
    overwrite
        Replace OUTPUT if it is there already.
    """
    if output is not None and output.suffix not in _FILES:
        raise InputError(f"{output} must end in {', '.join(_FILES)}: the suffix chooses the format")
    if escape_formulas and (output is None or output.suffix not in (".csv", ".tsv")):
        raise InputError("--escape-formulas is for tables that spreadsheets open: give --output FILE.csv or FILE.tsv")
    if texts and source.input is not None:
        raise InputError("texts were given both as arguments and with --input: give one of them")

    from bertkit.core.console import note, progress, say
    from bertkit.core.outputs import check_output_file, output_file
    from bertkit.inference.load import load
    from bertkit.inference.seen_ids import SeenIds

    inputs = input_files(source)
    if output is not None:
        check_output_file(output, inputs=inputs, overwrite=overwrite)
    predictor = load(model, precision=precision)
    given = _PredictInput(predictor.task, texts, source)
    warnings, ids = _Warnings(), SeenIds()
    on_terminal = output is None and sys.stdout.isatty()
    writer: PredictionWriter
    with ExitStack() as stack:
        if output is None:
            writer = (JsonLines if json_output else Highlighted if on_terminal else Lines)(sys.stdout)
        else:
            temporary = stack.enter_context(output_file(output, inputs=inputs, overwrite=overwrite))
            file = stack.enter_context(temporary.open("w", encoding="utf-8", errors="backslashreplace", newline=""))
            options = {"escape_formulas": True} if escape_formulas else {}
            writer = _FILES[output.suffix](file, **options)
        # Predictions that scroll by are progress enough.
        bar = None if on_terminal else stack.enter_context(progress("predicting", None, "texts"))
        count = 0
        for part in given.parts():
            for warning in part.examples.warnings:
                warnings.say(warning)
            share = given.share_read()
            if bar is not None and share:
                bar.expect((count + len(part.examples)) / share)
            found = predictor.predictions(
                part.examples,
                max_length=max_length,
                say=warnings.say,
                advance=(lambda done: None) if bar is None else bar.advance,
            )
            for index, prediction in enumerate(found):
                named = {} if part.ids is None else {"id": part.ids[index]}
                record = named | part.examples.record(index) | named
                writer.write(Predicted(record, part.examples.marked_text(index), prediction))
            ids.add(part.ids or ())
            count += len(part.examples)
        sys.stdout.flush()
    warnings.close()
    repeated = ids.warning()
    if repeated is not None:
        note(repeated)
    if output is not None:
        say(f"{count:,} predictions: {output}")


def fill_mask(
    model: str,
    /,
    *texts: str,
    source: Annotated[InputOptions, Parameter(name="*")] = InputOptions(),
    top_k: int = 5,
    precision: Precision = "float32",
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Fill in every [MASK] with the most probable entries of the vocabulary.

    Parameters
    ----------
    model
        Folder of a pre-trained model, or a hub name.
    texts
        Texts with one or more [MASK].
    top_k
        Entries for each [MASK].
    precision
        bf16 is faster where the device supports it; auto uses it there.
    json_output
        Print a JSON object per line.
    """
    chunks = read_text_chunks(texts, source)

    from bertkit.core.console import is_utf8, say
    from bertkit.inference.load import load

    predictor = load(model, precision=precision)
    for chunk in chunks:
        lines = [text for text in chunk if isinstance(text, str)]
        for text, masks in zip(lines, predictor.fill_mask(lines, top_k), strict=True):
            if json_output:
                named = [[{"token": token, "probability": chance} for token, chance in mask] for mask in masks]
                say(json.dumps({"text": text, "masks": named}, ensure_ascii=not is_utf8(sys.stdout)))
                continue
            say(text)
            for number, mask in enumerate(masks, 1):
                for token, chance in mask:
                    place = f"[MASK] {number}  " if len(masks) > 1 else ""
                    say(f"  {place}{chance:.4f}  {token}")
    sys.stdout.flush()


@dataclass(frozen=True)
class _Part:
    """Examples of one stretch of the input, and their ids where a column has them."""

    examples: Examples
    ids: Sequence[Any] | None = None


class _PredictInput:
    """All that is to be predicted from."""

    def __init__(self, task: Task[Any], texts: Sequence[str], options: TaskInputOptions) -> None:
        self._task, self._texts, self._options = task, texts, options
        known = options.input is not None and options.input != "-"
        self._total_bytes = sum(source.num_bytes for source in resolve_sources([str(options.input)])) if known else 0
        self._read_bytes = 0

    def parts(self) -> Iterator[_Part]:
        """In parts of bounded size, but for a file of the task's own layout."""
        return _parts(self._task, self._texts, self._options, self._see)

    def share_read(self) -> float | None:
        """How much of the input has been read; None where its size is not known."""
        return min(1.0, self._read_bytes / self._total_bytes) if self._total_bytes else None

    def _see(self, count: int) -> None:
        self._read_bytes += count


def _parts(task: Task[Any], texts: Sequence[str], options: TaskInputOptions, bytes_seen: BytesSeen) -> Iterator[_Part]:
    named = [f"--{name}" for name in ("text", "text-pair", "choices", "id") if getattr(options, name.replace("-", "_"))]
    if texts or options.input in (None, "-"):
        if named:
            raise InputError(f"{named[0]} names a table's column: give the table with --input FILE")
        return _lines(task, texts, options, bytes_seen)
    assert options.input is not None
    source = resolve_sources([options.input])[0]
    if not isinstance(source, HubDataset) and task.has_own_layout(source.path):
        if named:
            raise InputError(f"{options.input} is no table: leave {named[0]} out")
        return _whole(task, options.input, options.encoding_errors)
    if not isinstance(source, HubDataset) and (source.format == "text" or options.pair):
        if named:
            raise InputError(f"{options.input} has one text per line and no columns: leave {named[0]} out")
        return _lines(task, texts, options, bytes_seen)
    return _tables(task, options, bytes_seen)


def _lines(task: Task[Any], texts: Sequence[str], options: TaskInputOptions, bytes_seen: BytesSeen) -> Iterator[_Part]:
    for chunk in read_text_chunks(texts, options, bytes_seen, pairs=options.pair):
        yield _Part(task.examples([task.parse_line(text) if isinstance(text, str) else text for text in chunk]))


def _whole(task: Task[Any], source: str, encoding_errors: EncodingErrors) -> Iterator[_Part]:
    yield _Part(task.read(source, replace(task.columns, encoding_errors=encoding_errors), labelled=False))


def _tables(task: Task[Any], options: TaskInputOptions, bytes_seen: BytesSeen) -> Iterator[_Part]:
    columns = task.columns.changed(
        TableOptions(text=options.text, text_pair=options.text_pair, choices=options.choices, header=options.header)
    )
    columns = replace(columns, broken_rows="skip")  # every row gets its prediction
    id_column = None if options.id is None else columns.typed(options.id)
    names = [*columns.inputs, *([] if id_column is None else [id_column])]
    rows = RowOptions(
        columns=tuple(dict.fromkeys(names)),
        header=columns.header,
        encoding_errors=options.encoding_errors,
        pad_short_rows=True,
    )
    assert options.input is not None
    for table in read_table_parts(options.input, rows, bytes_seen):
        yield _Part(task.read(table, columns, labelled=False), None if id_column is None else table.columns[id_column])


class _Warnings:
    """Prints the first warnings on standard error and counts the others."""

    def __init__(self) -> None:
        self._count = 0

    def say(self, warning: str) -> None:
        """Print one of the first."""
        from bertkit.core.console import note

        self._count += 1
        if self._count <= _MOST_WARNINGS:
            note(warning)

    def close(self) -> None:
        """Say how many were not printed."""
        from bertkit.core.console import note

        if self._count > _MOST_WARNINGS:
            note(f"and {self._count - _MOST_WARNINGS:,} more warnings about later parts of the input")
