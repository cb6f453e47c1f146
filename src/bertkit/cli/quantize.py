"""`bertkit quantize`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertkit.recipes.options import QuantizeOptions
from bertkit.tasks.options import TableOptions


def quantize(
    model: str,
    /,
    *,
    out: Path,
    check: str | None = None,
    task: str | None = None,
    split: str | None = None,
    table: Annotated[TableOptions, Parameter(name="*")] = TableOptions(),
    options: Annotated[QuantizeOptions, Parameter(name="*")] = QuantizeOptions(),
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Write a model with int8 weights for CPUs, and measure what it loses.

    Linear layers that lose too much stay in float32; a model that loses more than --max-loss all the same is not
    written. OUT loads like any other folder in bertkit, in int8 unless another precision is asked for. It holds the
    figures in quantization.json and as a page in quantization.html.

    Parameters
    ----------
    model
        Model folder or hub name, in float32.
    out
        New folder.
    check
        What the loss is measured on: for a fine-tuned model labelled data as `bertkit evaluate` takes it, for others a
        file with a text a line, or a table with --text. Unless given, the vectors of a few built-in sentences.
    task
        Benchmark that the folder CHECK holds; the one that the model was fine-tuned on unless given.
    split
        train, dev or test of a benchmark (unless given, test where it has labels, else dev), or a hub split.
    overwrite
        Replace a model that is in OUT.
    json_output
        Print the figures as JSON.
    """
    from bertkit import api
    from bertkit.core.console import say
    from bertkit.recipes.quantize import REPORT_FILE
    from bertkit.reports.quantization import quality_rows

    result = api.quantize(
        model, out, check=check, task=task, split=split, table=table, options=options, overwrite=overwrite
    )
    if json_output:
        say(json.dumps(result.as_dict(), indent=2))
        return
    say(f"measured on {result.data}: {result.examples:,} sequences")
    for name, before, after in quality_rows(result.quality):
        say(f"{name}: {before} in float32, {after} in int8" if before else f"{name}: {after}")
    say(f"points lost: {result.quality.points_lost:.2f} of {options.max_loss:g} allowed")
    say(f"kept in float32: {', '.join(result.kept) or 'no layer'}")
    rates = f"{result.rate_before:,.0f} in float32, {result.rate_after:,.0f} in int8"
    say(f"sequences/s here, backend {result.backend}: {rates}")
    say(f"size: {result.bytes_before / 2**20:,.1f} MB in float32, {result.bytes_after / 2**20:,.1f} MB in int8")
    say(f"model: {out}\nreport: {out / REPORT_FILE}")
