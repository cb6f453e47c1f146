"""`bertkit doctor`."""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertkit.core.errors import InputError

if TYPE_CHECKING:
    from bertkit.model.size import ParameterCounts


def doctor(
    data: Path | None = None,
    /,
    *,
    model: str | None = None,
    against: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")] = None,
    html: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Describe a prepared corpus and what is wrong with it, or count the parameters of a model.

    Parameters
    ----------
    data
        Folder that `bertkit prepare` wrote.
    model
        In place of DATA: a preset (tiny, mini, small, medium, base, large), a model folder, a config.json, or a hub
        name, to count the parameters part by part.
    against
        Folders or files of benchmarks (text, TSV, CSV, JSON, CoNLL columns): count their texts that are in the corpus.
    html
        HTML page with plots to write.
    overwrite
        Replace HTML if it is there already.
    json_output
        Print the figures as JSON.
    """
    if (data is None) == (model is None):
        raise InputError("give either DATA, a folder that `bertkit prepare` wrote, or --model")
    if data is not None:
        _examine_corpus(data, against or [], html, overwrite, json_output)
        return
    if against or html is not None:
        raise InputError("--against and --html are about a prepared corpus: give DATA in place of --model")
    assert model is not None
    _count_parameters(model, json_output)


def _examine_corpus(data: Path, against: list[Path], html: Path | None, overwrite: bool, json_output: bool) -> None:
    from rich.table import Table

    from bertkit import api
    from bertkit.core.console import is_utf8, say, terminal

    examined = api.examine_corpus(data, against=against, report=html, overwrite=overwrite)
    if json_output:
        say(json.dumps(examined.to_json(), indent=2, ensure_ascii=not is_utf8(sys.stdout)))
        return
    console = terminal()
    table = Table(title=str(data), show_header=False)
    for row in examined.rows():
        table.add_row(*row)
    console.print(table)
    if examined.overlap:
        table = Table("file", "texts", "overlap", "share", title="benchmarks")
        for file in examined.overlap:
            table.add_row(file.file, f"{file.texts:,}", f"{file.overlapping:,}", f"{file.share:.2%}")
        console.print(table)


def _count_parameters(model: str, json_output: bool) -> None:
    from bertkit.core.checksums import SUMS_FILE, check_sums
    from bertkit.core.console import say
    from bertkit.model.size import ParameterCounts
    from bertkit.pretrained.models import describe_model

    checked = check_sums(Path(model), verify="always") if Path(model).is_dir() else 0
    described = describe_model(model)
    counts = ParameterCounts.of(described)
    if json_output:
        about = {"model": model, "architecture": described.description.class_name, "files_checked": checked}
        say(json.dumps({**about, **counts.to_json()}, indent=2))
    else:
        if checked:
            say(f"{checked} files are what was written: their SHA-256 are those in {SUMS_FILE}")
        _print_table(f"{model}: {described.description.class_name}", counts)


def _print_table(title: str, counts: ParameterCounts) -> None:
    from rich.table import Table

    from bertkit.core.console import terminal

    table = Table(title=title)
    table.add_column("part")
    table.add_column("parameters", justify="right")
    rows = [(f"embeddings: {kind}", size) for kind, size in counts.embeddings.items()]
    for size, same in groupby(enumerate(counts.layers), key=lambda numbered: numbered[1]):
        numbers = [number for number, _ in same]
        name = f"layer {numbers[0]}" if len(numbers) == 1 else f"layers {numbers[0]} to {numbers[-1]}, {size:,} each"
        rows.append((name, size * len(numbers)))
    rows += [("final norm", counts.final_norm)] if counts.final_norm else []
    rows.append(("pooler", counts.pooler))
    for part, size in rows:
        table.add_row(part, f"{size:,}")
    table.add_row("encoder", f"{counts.encoder:,}", end_section=True, style="bold")
    for name, size in counts.heads.items():
        table.add_row(name.replace("_", " "), f"{size:,}")
    table.add_row("total", f"{counts.total:,}", style="bold")
    terminal().print(table)
