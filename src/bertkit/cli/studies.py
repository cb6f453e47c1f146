"""- study ..., demo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from bertkit.cli.inputs import refuse_columns, refuse_given
from bertkit.core.errors import InputError
from bertkit.data.readers.text import EncodingErrors
from bertkit.studies.features.plan import FeatureStudyOptions
from bertkit.tasks.options import TaskOptions

_STUDIES = {"features": "Find out which layers of an encoder are good features."}

study = App(name="study", help_format="plaintext")
for _name, _summary in _STUDIES.items():
    study.command(f"bertkit.cli.studies:study_{_name}", name=_name, help=_summary)


def study_features(
    model: str,
    /,
    *,
    out: Path,
    task: str | None = None,
    data: Path | None = None,
    train: str | None = None,
    dev: str | None = None,
    test: str | None = None,
    kind: Literal["classification", "tagging"] | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    header: bool | None = None,
    encoding_errors: EncodingErrors = "strict",
    context: Literal["sentence", "document"] = "sentence",
    options: Annotated[FeatureStudyOptions, Parameter(name="*")] = FeatureStudyOptions(),
    resume: bool | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Find out which layers of an encoder are good features, without training it: the paper's Table 7.

    Tags are learned by a BiLSTM of two layers, labels of texts by logistic regression. The encoder runs once. A run
    that was stopped goes on when the same command is given again.

    Parameters
    ----------
    model
        Model folder or hub name.
    out
        Run folder: results.json, report.html, features/.
    task
        Benchmark by name, such as CoNLL-2003, SST-2-sentences or MRPC: any of classification or tagging.
    data
        Folder with the benchmark's files.
    train
        Your own table, as `bertkit finetune` takes it.
    dev
        The same to measure on; without one a tenth of the training examples is held out.
    test
        The same to measure on, too.
    kind
        What your own files are for; classification unless given.
    text
        Column of the text.
    text_pair
        Column of the second text of pairs.
    label
        Column of the class; of tagging, "spans" unless given, a list of tags or spans.
    header
        Whether the first line of CSV and TSV names the columns; with --no-header columns are places from 0.
    encoding_errors
        What becomes of bytes that are not UTF-8.
    context
        Of tags: whether the encoder reads a sentence alone or with its document, as in the paper.
    resume
        --resume insists that there is a run to go on with, --no-resume starts over.
    json_output
        Print the results as JSON.
    """
    if (task is None) != (data is None):
        raise InputError("--task NAME and --data FOLDER belong together: give both, or --train FILE for your own table")
    if (task is None) == (train is None):
        raise InputError("give either --task NAME --data FOLDER or --train FILE")
    columns = {"text": text, "text_pair": text_pair, "label": label}
    if task is not None:
        own = {"kind": kind, "dev": dev, "test": test, **columns, "header": header}
        refuse_given(f"{task} has a kind, files and columns of its own", own)

    from rich.console import Console

    from bertkit.studies.features import study
    from bertkit.tasks.benchmarks import find_benchmark
    from bertkit.tasks.data import read_task_data
    from bertkit.tasks.kinds import task_family

    task_options = TaskOptions(context=context)
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
                text=text, text_pair=text_pair, label=label, header=header, encoding_errors=encoding_errors
            ),
            options=task_options,
        )
    result = study.study_features(model, task_data, out, options, resume=resume)
    if json_output:
        print(json.dumps(result.to_json(), indent=2))
    else:
        Console().print(result.table())
        print(f"report: {out / 'report.html'}")


def demo(
    *,
    out: Path = Path("runs/demo"),
    quick: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Run the whole path on the documentation that every Python carries, offline, and write a report.

    About eight minutes on two CPU cores. A run that was stopped goes on when the same command is given again.

    Parameters
    ----------
    out
        Run folder: corpus/, tokenizer/, prepared/, pretraining/, finetuned/, results.json and report.html.
    quick
        Train for a minute only, to see that everything works; the figures mean nothing then.
    """
    from rich.console import Console
    from rich.table import Table

    from bertkit.studies.demo.report import QUICK_NOTICE
    from bertkit.studies.demo.result import FULL, QUICK
    from bertkit.studies.demo.run import run_demo

    console = Console(highlight=False)
    result = run_demo(out, QUICK if quick else FULL, lambda line: console.print(line, style="bold", markup=False))

    methods = list(dict.fromkeys(row.method for row in result.summary))
    table = Table(title=f"Which of {len(result.packages)} packages is a sentence from? Accuracy, %")
    table.add_column("labels a class")
    for method in methods:
        table.add_column(method, justify="right")
    for size in result.options.sizes:
        rows = [result.of(method, size.name) for method in methods]
        cells = (f"{100 * row.accuracy:.1f} ± {100 * row.accuracy_deviation:.1f}" for row in rows)
        table.add_row(f"{size.name} ({rows[0].examples:,} in all)", *cells)
    console.print(table)
    if quick:
        console.print(QUICK_NOTICE)
    minutes, seconds = divmod(round(sum(result.stage_seconds.values())), 60)
    console.print(f"{minutes} min {seconds} s in all. Open {out / 'report.html'}", soft_wrap=True)
