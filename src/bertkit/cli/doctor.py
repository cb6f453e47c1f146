"""`bertkit doctor`."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from bertkit.model.parameter_counts import ParameterCounts


def doctor(
    *,
    model: str,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Say what a model is made of: its parameters, part by part.

    Parameters
    ----------
    model
        A preset (tiny, mini, small, medium, base, large), a model folder, a config.json, or a hub name.
    json_output
        Print the figures as JSON.
    """
    from bertkit.model.described_model import describe_model
    from bertkit.model.parameter_counts import ParameterCounts

    described = describe_model(model)
    counts = ParameterCounts.of(described)
    if json_output:
        print(json.dumps({"model": model, "architecture": described.architecture, **counts.to_json()}, indent=2))
    else:
        _print_table(f"{model}: {described.architecture}", counts)


def _print_table(title: str, counts: ParameterCounts) -> None:
    from rich.console import Console
    from rich.table import Table

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
    Console().print(table)
