"""`bertkit finetune`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bertkit.cli.labelled import LabelledOptions
from bertkit.recipes.options import PAPER_GRID, FinetuneOptions
from bertkit.tasks.kinds import Kind
from bertkit.tasks.options import TaskOptions


def finetune(
    model: Path,
    /,
    *,
    out: Path,
    labelled: Annotated[LabelledOptions, Parameter(name="*")] = LabelledOptions(),
    kind: Kind | None = None,
    metrics: tuple[str, ...] | None = None,
    grid: Literal["paper"] | None = None,
    task_options: Annotated[TaskOptions, Parameter(name="*")] = TaskOptions(),
    options: Annotated[FinetuneOptions, Parameter(name="*")] = FinetuneOptions(),
    resume: bool | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Fine-tune a model on a benchmark (--task, --data) or on your own tables (--train, --dev, --test).

    To resume a run that was stopped, give the same command again. At the end OUT/model is the model of the seed that is
    best on dev.

    Parameters
    ----------
    model
        Model folder or hub name to start from.
    out
        Run folder: config.yaml, results.json, report.html, model/, and one folder per seed.
    kind
        What your own tables are for; classification unless given.
    metrics
        What to measure; the first one chooses the weights. Every kind has its own, which the error for an unknown name
        lists.
    grid
        paper tries batches of 16 and 32, rates of 5e-5, 4e-5, 3e-5 and 2e-5, and 2, 3 and 4 epochs, and keeps the best
        by dev, with five seeds where the training set is small.
    resume
        --resume insists that there is a run to resume, --no-resume starts over.
    json_output
        Print the results as JSON.
    """
    data = labelled.read(kind, task_options, metrics)

    from bertkit import api
    from bertkit.core.console import say, terminal

    found = api.finetune(model, data, out, options, grid=PAPER_GRID, resume=resume) if grid else None
    result = api.finetune(model, data, out, options, resume=resume) if found is None else found.best
    if json_output:
        say(json.dumps((found or result).to_json(), indent=2))
        return
    if found is not None:
        terminal().print(found.table())
    terminal().print(result.table())
    say(f"model: {result.model}\nreport: {result.report}")
