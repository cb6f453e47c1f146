"""`bertkit evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertkit.core.errors import InputError
from bertkit.core.machine import InferencePrecision
from bertkit.tasks.options import TableOptions


def evaluate(
    model: Path,
    /,
    *,
    data: str,
    task: str | None = None,
    split: str | None = None,
    table: Annotated[TableOptions, Parameter(name="*")] = TableOptions(),
    micro_batch_tokens: int = 4096,
    precision: InferencePrecision = "auto",
    report: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Measure a fine-tuned model on labelled data.

    Columns, and how tables are read, are those of fine-tuning unless given.

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
    micro_batch_tokens
        Tokens that go through the model at once.
    precision
        auto is int8 for what `bertkit quantize` wrote, bf16 where the device supports it in hardware, else float32.
    report
        HTML page to write: what the model gets right and wrong, how reliable its probabilities are, and which threshold
        to use.
    overwrite
        Replace REPORT if it is there already.
    json_output
        Print the figures as JSON.
    """
    if report is not None and report.suffix != ".html":
        raise InputError(f"{report} must end in .html: the report is a page")

    from bertkit import api
    from bertkit.core.console import say

    found = api.evaluate(
        model,
        data,
        task=task,
        split=split,
        table=table,
        micro_batch_tokens=micro_batch_tokens,
        precision=precision,
        report=report,
        overwrite=overwrite,
    )
    count = len(found.instances.examples)
    if json_output:
        say(json.dumps({"examples": count, **found.figures}, indent=2))
        return
    say(f"examples: {count:,}")
    for name, value in found.figures.items():
        say(f"{name}: {value:.4f}")
    if report is not None:
        say(f"report: {report}")
