"""`bertkit evaluate`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bertkit.cli.inputs import refuse_columns, refuse_given
from bertkit.core.errors import InputError
from bertkit.core.machine import Precision
from bertkit.data.readers.text import EncodingErrors

if TYPE_CHECKING:
    from bertkit.tasks.contract import Task, TaskInstances
    from bertkit.tasks.options import Columns
    from bertkit.text.tokenizer import Tokenizer


def evaluate(
    model: Path,
    /,
    *,
    data: str,
    task: str | None = None,
    split: str | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    choices: list[str] | None = None,
    header: bool | None = None,
    encoding_errors: EncodingErrors | None = None,
    micro_batch_tokens: int = 4096,
    precision: Precision = "auto",
    report: Path | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Measure a fine-tuned model on labelled data.

    Parameters
    ----------
    model
        Folder that `bertkit finetune` wrote, or a fine-tuned model of Hugging Face's.
    data
        Labelled file in a layout that fine-tuning takes, hub data set, or the folder of a benchmark.
    task
        Benchmark that the folder holds; the one that the model was fine-tuned on unless given.
    split
        train, dev or test of a benchmark (unless given, test where it has labels, else dev), or a hub split.
    text
        Column of the text; like the other columns it is the one of fine-tuning unless given.
    text_pair
        Column of the second text, for pairs.
    label
        Column of the class, score, answers, right choice, tags or spans.
    choices
        Columns of choices, one each, or one with lists.
    header
        Whether the first line of CSV and TSV names the columns.
    encoding_errors
        What becomes of bytes that are not UTF-8; as in fine-tuning unless given.
    micro_batch_tokens
        Tokens that go through the model at once.
    precision
        auto is bf16 where the device multiplies it in hardware.
    report
        Page to write: what the model gets right and wrong, how far its probabilities are to be trusted, where to put
        a threshold.
    json_output
        Print the figures as JSON.
    """
    if report is not None and report.suffix != ".html":
        raise InputError(f"{report} must end in .html: the report is a page")

    from bertkit.core.console import note
    from bertkit.core.devices import default_device
    from bertkit.core.machine import tune_allocator
    from bertkit.data.readers.sources import HubDataset, resolve_sources
    from bertkit.pretrained.folder import ModelFolder
    from bertkit.reports.evaluation.evaluated import Evaluated
    from bertkit.reports.evaluation.pages import evaluation_page
    from bertkit.reports.page import write_report
    from bertkit.tasks.benchmarks import find_benchmark
    from bertkit.tasks.model import load_task_model
    from bertkit.text.tokenizer import Tokenizer

    tune_allocator()
    folder = ModelFolder.open(model)
    task_model, its_task = load_task_model(folder)
    benchmark = task or (its_task.benchmark if Path(data).is_dir() else None)
    named = {"text": text, "text_pair": text_pair, "label": label, "choices": choices}
    if benchmark is not None:
        refuse_given(f"{benchmark} has columns of its own", {**named, "header": header})
        row = find_benchmark(benchmark)
        if row.family.kind != its_task.kind:
            raise InputError(f"{row.name} is {row.family.kind}, but {model} was fine-tuned for {its_task.kind}")
        errors = encoding_errors or its_task.columns.encoding_errors
        examples = row.read(Path(data), split or ("test" if row.test else "dev"), errors)
        instances = its_task.encode(examples, Tokenizer.from_pretrained(folder.path))
        its_task = replace(its_task, metric_names=row.metric_names or its_task.metric_names)
    else:
        refuse_columns(its_task, named)
        if not any(isinstance(source, HubDataset) for source in resolve_sources([data])):
            refuse_given(f"{data} has no splits", {"split": split})
        columns = its_task.columns.changed(
            text=text,
            text_pair=text_pair,
            label=label,
            choices=choices,
            header=header,
            encoding_errors=encoding_errors,
        )
        instances = _labelled(its_task, data, columns, split or "test", Tokenizer.from_pretrained(folder.path))
    for warning in instances.all_warnings:
        note(warning)
    found = Evaluated.of(
        task_model.to(default_device()),
        its_task,
        instances,
        max_tokens=micro_batch_tokens,
        precision=precision,
    )
    if report is not None:
        write_report(report, evaluation_page(found, model=model, data=data))
    if json_output:
        print(json.dumps({"examples": len(instances.examples), **found.figures}, indent=2))
        return
    print(f"examples: {len(instances.examples):,}")
    for name, value in found.figures.items():
        print(f"{name}: {value:.4f}")
    if report is not None:
        print(f"report: {report}")


def _labelled(task: Task[Any], data: str, columns: Columns, split: str, tokenizer: Tokenizer) -> TaskInstances[Any]:
    """Read and encode; if only the labels are amiss, the error says so."""
    try:
        return task.encode(task.read(data, columns, split=split), tokenizer)
    except InputError as error:
        if _is_readable(task, data, columns, split):
            raise InputError(f"{error}; for a file without labels use bertkit predict") from None
        raise


def _is_readable(task: Task[Any], data: str, columns: Columns, split: str) -> bool:
    """Whether there is nothing amiss but labels."""
    try:
        task.read(data, columns, split=split, labelled=False)
    except InputError:
        return False
    return True
