"""`bertkit glue` and `bertkit glue-submission`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bertkit.core.errors import InputError
from bertkit.data.readers.text import EncodingErrors
from bertkit.recipes.options import FinetuneOptions


def glue(
    model: Path,
    /,
    *,
    data: Path,
    out: Path,
    tasks: list[str] | None = None,
    encoding_errors: EncodingErrors = "strict",
    grid: Literal["paper"] | None = None,
    options: Annotated[FinetuneOptions, Parameter(name="*")] = FinetuneOptions(),
    resume: bool | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Fine-tune a model on every task of GLUE and show the results beside the paper's.

    Tasks whose files are missing are left out, and named. MNLI's model is measured on the diagnostic set, too. To
    resume a run that was stopped, give the same command again. `bertkit glue-submission` then makes the leaderboard's
    zip file.

    Parameters
    ----------
    model
        Model folder or hub name to start from.
    data
        Folder with CoLA/, SST-2/, MRPC/, STS-B/, QQP/, MNLI/, QNLI/, RTE/ and WNLI/, each in its official layout; with
        AX/diagnostic-full.tsv for the diagnostic set.
    out
        Run folder: results.json, results.md, and one run folder per task.
    tasks
        Only these, by name.
    encoding_errors
        What becomes of bytes that are not UTF-8.
    grid
        paper tries batches of 16 and 32, rates of 5e-5, 4e-5, 3e-5 and 2e-5, and 2, 3 and 4 epochs for each task, and
        gives the best setting five seeds where the training set is small.
    resume
        --resume insists that every task has a run to resume, --no-resume starts over.
    json_output
        Print the results as JSON.
    """
    from bertkit.core.console import say, terminal
    from bertkit.recipes.options import PAPER_GRID
    from bertkit.studies.glue import GLUE_TASKS, run_glue

    result = run_glue(
        model,
        data,
        out,
        options,
        tasks=GLUE_TASKS if tasks is None else tasks,
        encoding_errors=encoding_errors,
        grid=None if grid is None else PAPER_GRID,
        resume=resume,
    )
    if json_output:
        say(json.dumps(result.to_json(), indent=2))
    else:
        terminal().print(result.table())


def glue_submission(
    runs: Path,
    /,
    *,
    data: Path,
    out: Path,
    encoding_errors: EncodingErrors = "strict",
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write the zip file that the GLUE leaderboard takes, from models and the official test files.

    The leaderboard refuses a zip file that lacks one of its eleven files. For tasks without a model or a test file the
    largest class is predicted; each of them is named.

    Parameters
    ----------
    runs
        Folder that `bertkit glue` wrote, or one with a model for each task in CoLA/, MNLI/ and so on. The model of
        MNLI also answers the diagnostic set.
    data
        Folder with CoLA/test.tsv, MNLI/test_matched.tsv, AX/diagnostic.tsv and so on.
    out
        File that ends in .zip.
    encoding_errors
        What becomes of bytes that are not UTF-8.
    overwrite
        Replace OUT if it is there already.
    """
    if out.suffix != ".zip":
        raise InputError(f"{out} must end in .zip: that is what the leaderboard takes")

    from rich.table import Table

    from bertkit.core.console import terminal
    from bertkit.studies.glue_submission import write_glue_submission

    files = write_glue_submission(runs, data, out, encoding_errors, overwrite=overwrite)
    table = Table(title=str(out))
    for column in ("file", "rows", "predicted by"):
        table.add_column(column)
    for file in files:
        table.add_row(file.name, f"{file.rows:,}", "NOTHING: largest class" if file.model is None else str(file.model))
    terminal().print(table)
