"""The page of an evaluation."""

from __future__ import annotations

import shlex
from pathlib import Path

from bertkit.studies.report import Commands, Fact, Report, Section, Table
from bertkit.studies.task_report.evaluated import Evaluated
from bertkit.studies.task_report.families import SECTIONS
from bertkit.tasks.evaluation import LOSS

_MOST_FACTS = 4


def evaluation_page(found: Evaluated, *, model: Path, data: str) -> Report:
    """Lay out what `bertkit evaluate` found."""
    figures = {name: value for name, value in found.figures.items() if name != LOSS}
    rows = [(name.replace("_", " "), f"{value:.4f}") for name, value in found.figures.items()]
    given = shlex.quote(str(model))
    commands = (
        f"bertkit predict {given} --input NEW --output predictions.jsonl\n"
        f"bertkit evaluate {given} --data OTHER --report other.html"
    )
    return Report(
        title=f"{model} on {data}",
        lead=f"{found.task.benchmark or found.task.kind}, {found.task.summary}: {len(found.predictions):,} examples.",
        notice=" ".join(f"{remark}." for remark in found.instances.all_remarks),
        facts=[
            Fact(value=f"{value:.4f}", label=name.replace("_", " "))
            for name, value in list(figures.items())[:_MOST_FACTS]
        ],
        sections=[
            Section(title="All figures", blocks=[Table(head=("figure", "value"), rows=rows)]),
            *SECTIONS[type(found.task)](found),
            Section(title="What to type next", blocks=[Commands(text=commands)]),
        ],
        footer="Written by `bertkit evaluate --report`.",
    )
