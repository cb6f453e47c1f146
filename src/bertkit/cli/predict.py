"""- predict, fill-mask."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, TextIO

from cyclopts import Parameter

from bertkit.cli.inputs import InputOptions, PredictInput, TaskInputOptions, read_text_chunks
from bertkit.cli.outputs import Delimited, Highlighted, JsonLines, Lines, Predicted, PredictionWriter
from bertkit.core.errors import InputError
from bertkit.core.machine import Precision

_FILES: dict[str, Callable[[TextIO], PredictionWriter]] = {
    ".jsonl": JsonLines,
    ".csv": Delimited,
    ".tsv": partial(Delimited, tabs=True),
}
_MOST_WARNINGS = 10


def predict(
    model: str,
    /,
    *texts: str,
    source: Annotated[TaskInputOptions, Parameter(name="*")] = TaskInputOptions(),
    output: Path | None = None,
    max_length: int | None = None,
    precision: Precision = "float32",
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Apply a fine-tuned model to texts: labels, scores, answers, choices or entities, with their probabilities.

    On a terminal answers and entities are highlighted in their texts; elsewhere a line holds what is said, its
    probability and the text, between tabs.

    Parameters
    ----------
    model
        Folder that `bertkit finetune` wrote, a fine-tuned model of Hugging Face's, or a hub name.
    texts
        Texts; with --pair each a pair separated by a tab. For questions: question, tab, text that may answer it;
        for multiple choice: question and choices, separated by tabs.
    output
        File in place of the terminal: .jsonl with every probability and place, .csv or .tsv with a column each.
    max_length
        Tokens that a text is cut to, special ones counted; unless given the length of fine-tuning.
    precision
        bf16 is faster where the processor has it; auto takes it there.
    json_output
        Print a JSON object a line, with every probability and place; a file's suffix says what is in it.
    """
    if output is not None and output.suffix not in _FILES:
        raise InputError(f"{output} must end in {', '.join(_FILES)}: the suffix chooses the format")
    if texts and source.input is not None:
        raise InputError("texts were given both as arguments and with --input: give one of them")

    from bertkit.core.console import note, progress
    from bertkit.core.files import atomic_path
    from bertkit.inference.feature_file import SeenIds
    from bertkit.inference.load import load

    predictor = load(model, precision=precision)
    given = PredictInput(predictor.task, texts, source)
    warnings, ids = _Remarks(), SeenIds()
    on_terminal = output is None and sys.stdout.isatty()
    writer: PredictionWriter
    with ExitStack() as stack:
        if output is None:
            writer = (JsonLines if json_output else Highlighted if on_terminal else Lines)(sys.stdout)
        else:
            temporary = stack.enter_context(atomic_path(output))
            file = stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))
            writer = _FILES[output.suffix](file)
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
        print(f"{count:,} predictions: {output}")


class _Remarks:
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
            note(f"and {self._count - _MOST_WARNINGS:,} warnings more of later parts of the input")


def fill_mask(
    model: str,
    /,
    *texts: str,
    source: Annotated[InputOptions, Parameter(name="*")] = InputOptions(),
    top_k: int = 5,
    precision: Precision = "float32",
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Fill in every [MASK] of the texts with the likeliest entries of the vocabulary.

    Parameters
    ----------
    model
        Folder of a pre-trained model, or a hub name.
    texts
        Texts with one or more [MASK].
    top_k
        Entries for each [MASK].
    precision
        bf16 is faster where the processor has it; auto takes it there.
    json_output
        Print a JSON object a line.
    """
    chunks = read_text_chunks(texts, source)

    from bertkit.inference.load import load

    predictor = load(model, precision=precision)
    for chunk in chunks:
        lines = [text for text in chunk if isinstance(text, str)]
        for text, masks in zip(lines, predictor.fill_mask(lines, top_k), strict=True):
            if json_output:
                named = [[{"token": token, "probability": chance} for token, chance in mask] for mask in masks]
                print(json.dumps({"text": text, "masks": named}, ensure_ascii=False))
                continue
            print(text)
            for number, mask in enumerate(masks, 1):
                for token, chance in mask:
                    place = f"[MASK] {number}  " if len(masks) > 1 else ""
                    print(f"  {place}{chance:.4f}  {token}")
    sys.stdout.flush()
