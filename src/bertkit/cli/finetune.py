"""`bertkit finetune`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bertkit.cli.inputs import refuse_columns, refuse_given
from bertkit.core.errors import InputError
from bertkit.data.readers.text import EncodingErrors
from bertkit.recipes.options import FinetuneOptions
from bertkit.tasks.kinds import Kind, task_family
from bertkit.tasks.options import TaskOptions


def finetune(
    model: Path,
    /,
    *,
    out: Path,
    task: str | None = None,
    data: Path | None = None,
    train: str | None = None,
    dev: str | None = None,
    test: str | None = None,
    kind: Kind | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    choices: list[str] | None = None,
    header: bool | None = None,
    encoding_errors: EncodingErrors = "strict",
    metrics: list[str] | None = None,
    grid: Literal["paper"] | None = None,
    task_options: Annotated[TaskOptions, Parameter(name="*")] = TaskOptions(),
    options: Annotated[FinetuneOptions, Parameter(name="*")] = FinetuneOptions(),
    resume: bool | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Fine-tune a model on a benchmark (--task, --data) or on your own tables (--train, --dev, --test).

    A run that was stopped goes on when the same command is given again. The model of the seed that is best on dev is
    OUT/model in the end.

    Parameters
    ----------
    model
        Model folder or hub name to start from.
    out
        Run folder: config.yaml, results.json, report.html, model/, and a folder a seed.
    task
        Benchmark by name: SST-2, SST-2-sentences, CoLA, MRPC, QQP, STS-B, MNLI, QNLI, RTE, WNLI, IMDb,
        SICK-entailment, SICK-relatedness, SQuAD-1.1, SQuAD-2.0, SWAG, ARC-easy, ARC-challenge, CoNLL-2003.
    data
        Folder with the benchmark's files.
    train
        Your own CSV, TSV, JSONL or Parquet file, or hub data set; SQuAD's JSON; for tags also column files as CoNLL's.
    dev
        The same to choose the best weights by; without one a share of the training examples is held out.
    test
        The same to measure the chosen weights on.
    kind
        What your own files are for; classification unless given.
    text
        Column of the text, or of the question, which is "question" unless given.
    text_pair
        Column of the second text of pairs; of the context of span-extraction; of multiple-choice, where there is one,
        how every choice begins.
    label
        Column of the class, score, right choice or, "answers" unless given, answers; of tagging, "spans" unless given,
        a list of tags or spans.
    choices
        Columns of multiple-choice, one each, or one with lists, which is "choices" unless given.
    header
        Whether the first line of CSV and TSV names the columns; with --no-header columns are places from 0.
    encoding_errors
        What becomes of bytes that are not UTF-8.
    metrics
        What to measure, the first one choosing the weights: accuracy, f1, macro_f1, matthews; pearson, spearman; exact,
        f1, joint_exact, joint_f1; f1, precision, recall, accuracy.
    grid
        paper tries batches of 16 and 32, rates of 5e-5, 4e-5, 3e-5 and 2e-5, and 2, 3 and 4 epochs, and keeps the best
        by dev, with five seeds where the training set is small.
    resume
        --resume insists that there is a run to go on with, --no-resume starts over.
    json_output
        Print the results as JSON.
    """
    if (task is None) != (data is None):
        raise InputError("--task NAME and --data FOLDER belong together: give both, or --train FILE for your own table")
    if (task is None) == (train is None):
        raise InputError("give either --task NAME --data FOLDER or --train FILE")
    if task is not None and kind is not None:
        raise InputError(f"{task} is of a kind of its own: leave --kind {kind} out")
    columns = {"text": text, "text_pair": text_pair, "label": label, "choices": choices}
    if task is not None:
        own = {"dev": dev, "test": test, **columns, "header": header, "metrics": metrics}
        refuse_given(f"{task} has files, columns and metrics of its own", own)

    from rich.console import Console

    from bertkit.recipes import finetune as recipe
    from bertkit.recipes.grid import finetune_grid
    from bertkit.recipes.options import PAPER_GRID
    from bertkit.reports.evaluation.pages import write_grid_report, write_run_report
    from bertkit.tasks.benchmarks import find_benchmark
    from bertkit.tasks.data import read_task_data

    if task is not None and data is not None:
        task_data = find_benchmark(task).data(data, task_options, encoding_errors)
    else:
        assert train is not None
        family = task_family(kind or "classification")
        refuse_columns(family, columns)
        task_data = read_task_data(
            train,
            dev,
            test,
            family=family,
            columns=family.usual_columns.changed(
                text=text,
                text_pair=text_pair,
                label=label,
                choices=choices,
                header=header,
                encoding_errors=encoding_errors,
            ),
            options=task_options,
            metric_names=None if metrics is None else tuple(metrics),
        )
    if grid is not None:
        found = finetune_grid(model, task_data, out, options, PAPER_GRID, resume=resume)
        report = write_grid_report(out, found, options)
        if json_output:
            print(json.dumps(found.to_json(), indent=2))
        else:
            Console().print(found.table(), found.best.table())
            print(f"model: {found.best.model}\nreport: {report}")
        return
    result = recipe.finetune(model, task_data, out, options, resume=resume)
    report = write_run_report(out, result, options)
    if json_output:
        print(json.dumps(result.to_json(), indent=2))
    else:
        Console().print(result.table())
        print(f"model: {result.model}\nreport: {report}")
