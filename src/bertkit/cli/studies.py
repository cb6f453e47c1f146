"""`bertkit study features`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bertkit.cli.ignored_options import refuse_columns, refuse_given
from bertkit.data.text_stream import EncodingErrors
from bertkit.foundation.errors import InputError
from bertkit.studies.feature_based.options import FeatureStudyOptions
from bertkit.tasks.task_options import TaskOptions


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

    from bertkit.studies.feature_based import study
    from bertkit.tasks.benchmarks import find_benchmark
    from bertkit.tasks.folder import FAMILIES
    from bertkit.tasks.task_data import read_task_data

    task_options = TaskOptions(context=context)
    if task is not None and data is not None:
        task_data = find_benchmark(task).data(data, task_options, encoding_errors)
    else:
        assert train is not None
        family = FAMILIES[kind or "classification"]
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
