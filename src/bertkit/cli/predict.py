"""`bertkit predict` and `bertkit fill-mask`."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertkit.cli.inputs import (
    InputBytes,
    InputOptions,
    RunningOptions,
    TaskInputOptions,
    check_merge,
    check_model,
    check_one_input,
    input_files,
    read_text_chunks,
)
from bertkit.cli.outputs import Highlighted, Lines
from bertkit.cli.task_inputs import task_sources
from bertkit.core.errors import InputError
from bertkit.inference.bulk import BulkOptions

if TYPE_CHECKING:
    from bertkit.inference.prediction_file import ExampleSource, WrittenPredictions
    from bertkit.inference.predictor import Predictor

_MOST_WARNINGS = 10


def predict(
    model: str | None = None,
    /,
    *texts: str,
    source: Annotated[TaskInputOptions, Parameter(name="*")] = TaskInputOptions(),
    output: Path | None = None,
    max_length: int | None = None,
    running: Annotated[RunningOptions, Parameter(name="*")] = RunningOptions(),
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    escape_formulas: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    bulk: Annotated[BulkOptions, Parameter(name="*", group="Many files and machines")] = BulkOptions(),
) -> None:
    """Apply a fine-tuned model to texts: labels, scores, answers, choices or entities, with their probabilities.

    On a terminal answers and entities are highlighted in their texts; elsewhere each line holds the prediction, its
    probability and the text, separated by tabs. To resume a call with --output that was stopped, give the same command
    again.

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
    json_output
        Print a JSON object per line, with all probabilities and positions; with --output one of what was written.
    escape_formulas
        Put an apostrophe before texts in .csv and .tsv that a spreadsheet would run as a formula.
    overwrite
        Replace OUTPUT if it is there already.
    """
    if escape_formulas and (output is None or output.suffix not in (".csv", ".tsv")):
        raise InputError("--escape-formulas is for tables that spreadsheets open: give --output FILE.csv or FILE.tsv")
    if output is None and bulk != BulkOptions():
        raise InputError("--shard, --merge, --engine and --workers are for files: give --output FILE")
    check_one_input(texts, source)

    from bertkit.inference.bulk import SharedModel
    from bertkit.inference.load import load
    from bertkit.inference.prediction_file import check_prediction_path, merge_predictions, write_predictions

    inputs = input_files(source)
    if output is not None:
        check_prediction_path(output, inputs=inputs, overwrite=overwrite)
    if bulk.merge:
        check_merge(model, texts, source)
        assert output is not None
        _report(merge_predictions(output, overwrite=overwrite), output, as_json=json_output)
        return
    loading = partial(load, check_model(model), **running.keywords())
    predictor = loading()
    read = InputBytes(source)
    sources = task_sources(predictor.task, texts, source, read)
    if output is None:
        _print_predictions(predictor, sources, read, max_length=max_length, as_json=json_output)
        return
    written = write_predictions(
        SharedModel(predictor, loading, bulk),
        sources,
        output,
        max_length=max_length,
        escape_formulas=escape_formulas,
        inputs=inputs,
        overwrite=overwrite,
        options=bulk,
        share_read=read.share_read,
    )
    if written is not None:
        _report(written, output, as_json=json_output)


def _print_predictions(
    predictor: Predictor, sources: list[ExampleSource], read: InputBytes, *, max_length: int | None, as_json: bool
) -> None:
    from bertkit.core.console import note, progress
    from bertkit.inference.prediction_file import predict_some
    from bertkit.inference.prediction_formats import JsonLines
    from bertkit.inference.seen_ids import SeenIds

    warnings, ids = _Warnings(), SeenIds()
    on_terminal = sys.stdout.isatty()
    writer = (JsonLines if as_json else Highlighted if on_terminal else Lines)(sys.stdout)
    count = 0
    with ExitStack() as stack:
        # Predictions that scroll by are progress enough.
        bar = None if on_terminal else stack.enter_context(progress("predicting", None, "texts"))
        for some in chain.from_iterable(source.parts for source in sources):
            share = read.share_read()
            if bar is not None and share:
                bar.expect((count + len(some.examples)) / share)
            advance = (lambda done: None) if bar is None else bar.advance
            for one in predict_some(predictor, some, max_length=max_length, say=warnings.say, advance=advance):
                writer.write(one)
            ids.add(some.ids or ())
            count += len(some.examples)
        sys.stdout.flush()
    warnings.close()
    if (repeated := ids.warning()) is not None:
        note(repeated)


def _report(written: WrittenPredictions, output: Path, *, as_json: bool) -> None:
    from bertkit.core.console import note, say

    warnings = _Warnings()
    for warning in written.warnings:
        warnings.say(warning)
    warnings.close()
    if written.repeated_ids is not None:
        note(written.repeated_ids)
    line = json.dumps({"predictions": written.count, "output": str(output)})
    say(line if as_json else f"{written.count:,} predictions: {output}")


def fill_mask(
    model: str,
    /,
    *texts: str,
    source: Annotated[InputOptions, Parameter(name="*")] = InputOptions(),
    top_k: int = 5,
    running: Annotated[RunningOptions, Parameter(name="*")] = RunningOptions(),
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
    json_output
        Print a JSON object per line.
    """
    chunks = read_text_chunks(texts, source)

    from bertkit.core.console import is_utf8, say
    from bertkit.inference.load import load

    predictor = load(model, **running.keywords())
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
