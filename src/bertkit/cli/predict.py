"""`bertkit predict`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

from cyclopts import Parameter

from bertkit.cli.texts import PairInputOptions, read_text_chunks
from bertkit.data.sources import COMPRESSIONS
from bertkit.foundation.errors import InputError
from bertkit.foundation.precision import Precision

if TYPE_CHECKING:
    from bertkit.tasks.contract import Task
    from bertkit.tasks.examples import Examples
    from bertkit.tasks.prediction import Prediction

_OUTPUTS = {".tsv": False, ".jsonl": True}
"""Suffixes, and whether they hold JSON."""


def predict(
    model: str,
    /,
    *texts: str,
    source: Annotated[PairInputOptions, Parameter(name="*")] = PairInputOptions(),
    output: Path | None = None,
    max_length: int | None = None,
    precision: Precision = "float32",
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Apply a fine-tuned model: a line with what it says, with its probability, and what it was said of.

    That is a label or a score of a text or a pair of texts, an answer to a question, or entities in a text.

    Parameters
    ----------
    model
        Folder that `bertkit finetune` wrote, a fine-tuned model of Hugging Face's, or a hub name.
    texts
        Texts; with --pair each a pair separated by a tab. For questions: question, tab, text that may answer it;
        for multiple choice: question and choices, separated by tabs.
    output
        File in place of the terminal: .tsv, or .jsonl with every label's probability.
    max_length
        Tokens that a text is cut to, special ones counted; unless given the length of fine-tuning.
    precision
        bf16 is faster where the processor has it; auto takes it there.
    json_output
        Print a JSON object a line, with every label's probability.
    """
    if output is not None and output.suffix not in _OUTPUTS:
        raise InputError(f"{output} must end in {' or '.join(_OUTPUTS)}: the suffix chooses the format")
    if texts and source.input is not None:
        raise InputError("texts were given both as arguments and with --input: give one of them")

    from bertkit.foundation.console import note
    from bertkit.foundation.devices import tune_allocator
    from bertkit.foundation.files import atomic_path
    from bertkit.inference.load import load

    tune_allocator()
    predictor = load(model, precision=precision)
    as_json = json_output or (output is not None and _OUTPUTS[output.suffix])
    with ExitStack() as stack:
        file: TextIO = sys.stdout
        if output is not None:
            temporary = stack.enter_context(atomic_path(output))
            file = stack.enter_context(temporary.open("w", encoding="utf-8"))
        for examples in _read(predictor.task, texts, source):
            for remark in examples.remarks:
                note(remark)
            for index, prediction in enumerate(predictor.predict_examples(examples, max_length=max_length)):
                record = examples.record(index)
                print(_json(record, prediction) if as_json else _line(record, prediction), file=file)
        file.flush()


def _read(task: Task[Any], texts: Sequence[str], source: PairInputOptions) -> Iterator[Examples]:
    """What to predict from, in parts of bounded size."""
    from bertkit.tasks.text_task import TextTask

    if isinstance(task, TextTask) or texts or source.input in (None, "-") or _has_lines(task, str(source.input)):
        for chunk in read_text_chunks(texts, source):
            yield task.examples([task.parse_line(text) if isinstance(text, str) else text for text in chunk])
        return
    columns = task.columns.changed(text=source.text, text_pair=source.text_pair)
    yield task.read(str(source.input), columns, labelled=False)


def _has_lines(task: Task[Any], source: str) -> bool:
    suffixes = [suffix for suffix in Path(source).suffixes if suffix not in COMPRESSIONS]
    return bool(suffixes) and suffixes[-1] in task.line_suffixes


def _json(record: dict[str, Any], prediction: Prediction) -> str:
    return json.dumps(record | asdict(prediction), ensure_ascii=False)


def _line(record: dict[str, Any], prediction: Prediction) -> str:
    fields = [*prediction.fields(), *record.values()]
    return "\t".join(" ".join(str(field).split()) for field in fields)
