"""`bertkit study ...` and `bertkit demo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from bertkit.cli.labelled import LabelledOptions
from bertkit.studies.features.plan import FeatureStudyOptions
from bertkit.tasks.options import Context, TaskOptions

FLAT = Parameter(name="*")
study = App(name="study", help_format="plaintext")
"""Compare methods by experiment."""


@study.command(name="features")
def study_features(
    model: str,
    /,
    *,
    out: Path,
    labelled: Annotated[LabelledOptions, FLAT] = LabelledOptions(),
    kind: Literal["classification", "tagging"] | None = None,
    context: Context = "sentence",
    options: Annotated[FeatureStudyOptions, FLAT] = FeatureStudyOptions(),
    resume: bool | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Find out which layers of an encoder are good features, without training it: the paper's Table 7.

    Tags are learned by a BiLSTM of two layers, labels of texts by logistic regression. The encoder runs once. To resume
    a run that was stopped, give the same command again.

    Parameters
    ----------
    model
        Model folder or hub name.
    out
        Run folder: results.json, report.html, features/.
    kind
        What your own tables are for; classification unless given.
    context
        For tags: whether the encoder reads a sentence alone, or with its document as in the paper.
    resume
        --resume insists that there is a run to resume, --no-resume starts over.
    json_output
        Print the results as JSON.
    """
    data = labelled.read(kind, TaskOptions(context=context))

    from bertkit.core.console import say, terminal
    from bertkit.studies.features import study

    result = study.study_features(model, data, out, options, resume=resume)
    if json_output:
        say(json.dumps(result.to_json(), indent=2))
    else:
        terminal().print(result.table())
        say(f"report: {out / 'report.html'}")


def demo(
    *,
    out: Path = Path("runs/demo"),
    quick: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Run all steps, from raw text to predictions, on the documentation that comes with Python, and write a report.

    Takes about eight minutes on two CPU cores and needs no network. To resume a run that was stopped, give the same
    command again.

    Parameters
    ----------
    out
        Run folder: corpus/, tokenizer/, prepared/, pretraining/, finetuned/, results.json and report.html.
    quick
        Train for only a minute, to see that everything works; its figures mean nothing.
    """
    from rich.table import Table

    from bertkit.core.console import terminal
    from bertkit.studies.demo.report import QUICK_NOTICE
    from bertkit.studies.demo.result import FULL, QUICK
    from bertkit.studies.demo.run import run_demo

    console = terminal()
    result = run_demo(out, QUICK if quick else FULL, lambda line: console.print(line, style="bold"))

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
    minutes, seconds = divmod(round(sum(result.step_seconds.values())), 60)
    console.print(f"{minutes} min {seconds} s in all. Open {out / 'report.html'}", soft_wrap=True)
