"""`bertkit demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


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

    from bertkit.studies.demo import run_demo
    from bertkit.studies.demo_options import FULL, QUICK
    from bertkit.studies.demo_report import QUICK_NOTICE

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
