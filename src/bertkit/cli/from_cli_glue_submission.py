"""`bertkit glue-submission`."""

from __future__ import annotations

from pathlib import Path

from bertkit.data.text_stream import EncodingErrors
from bertkit.foundation.errors import InputError


def glue_submission(runs: Path, /, *, data: Path, out: Path, encoding_errors: EncodingErrors = "strict") -> None:
    """Write the zip file that the GLUE leaderboard takes, from models and the official test files.

    The leaderboard refuses a zip that lacks one of its eleven files. Tasks without a model or a test file are filled
    with their largest class; each of them is named.

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
    """
    if out.suffix != ".zip":
        raise InputError(f"{out} must end in .zip: that is what the leaderboard takes")

    from rich.console import Console
    from rich.table import Table

    from bertkit.studies.glue_submission import write_glue_submission

    files = write_glue_submission(runs, data, out, encoding_errors)
    table = Table(title=str(out))
    for column in ("file", "rows", "predicted by"):
        table.add_column(column)
    for file in files:
        table.add_row(file.name, f"{file.rows:,}", "NOTHING: largest class" if file.model is None else str(file.model))
    Console().print(table)
