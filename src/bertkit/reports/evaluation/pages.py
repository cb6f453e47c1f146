"""The pages of runs, grids and evaluations."""
# N examples.

from __future__ import annotations

import shlex
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertkit.core.devices import default_device, describe_machine, token_budget
from bertkit.pretrained.folder import ModelFolder
from bertkit.recipes.finetune_result import FinetuneResult, deviation, metric_interval
from bertkit.recipes.grid import GRID_COLUMNS, GridResult
from bertkit.reports.evaluation.answers import answer_sections
from bertkit.reports.evaluation.choices import choice_sections
from bertkit.reports.evaluation.classes import class_sections, score_sections
from bertkit.reports.evaluation.evaluated import Evaluated, excerpt
from bertkit.reports.evaluation.labels import label_sections
from bertkit.reports.evaluation.tags import tag_sections
from bertkit.reports.page import (
    Commands,
    Fact,
    Passage,
    Passages,
    Plots,
    Report,
    Section,
    Table,
    settings_section,
    write_report,
)
from bertkit.reports.plots import Axis, Series, plot
from bertkit.tasks.choice import MultipleChoice
from bertkit.tasks.classification import Classification
from bertkit.tasks.contract import Task
from bertkit.tasks.evaluation import LOSS
from bertkit.tasks.model import load_task_model
from bertkit.tasks.multi_label import MultiLabel
from bertkit.tasks.questions.task import SpanExtraction
from bertkit.tasks.regression import Regression
from bertkit.tasks.tagging.task import Tagging
from bertkit.training.run_folder import RunFolder

_Lines = Sequence[Mapping[str, float]]


def training_curves(runs: Mapping[str, RunFolder], kind: str, select_by: str) -> Section:
    """Training loss, and loss and the deciding metric on dev, of every run by its name."""
    lines = {name: run.read_metrics() for name, run in runs.items()}
    plots = [
        _curves(lines, "train", f"{kind}_{LOSS}", "training loss"),
        _curves(lines, "evaluation", LOSS, "dev loss"),
        _curves(lines, "evaluation", select_by, f"dev {select_by}"),
    ]
    caption = (
        f"The weights of the highest dev {select_by} of each seed are kept. Dropout is on in training, off on dev."
    )
    return Section(title="Training", blocks=[Plots(svgs=plots, caption=caption)])


def _curves(lines: Mapping[str, _Lines], kind: str, figure: str, label: str) -> str:
    series = []
    for number, (name, those) in enumerate(lines.items()):
        points = [(line["step"], line[figure]) for line in those if line["kind"] == kind and figure in line]  # type: ignore[comparison-overlap]
        x, y = zip(*points, strict=True) if points else ((), ())
        series.append(Series(label=name, x=x, y=y, colour=number))
    return plot(series, Axis(label="update"), Axis(label=label), f"{kind}-{figure}")


_MOST_FACTS = 4
_MOST_PREDICTIONS = 20
_MORE_SEEDS = "The command that made this run, with a larger `--seeds`, adds seeds to those that are done."


def write_run_report(result: FinetuneResult, *, report: Path | None = None, further: Sequence[Section] = ()) -> Path:
    """Look at the run's best model on its dev examples and write `report`, which is the run's unless given.

    `further` sections come behind the seeds.
    """
    options = result.options
    model, task = load_task_model(ModelFolder.open(result.model))
    device = default_device()
    found = Evaluated.of(
        model.to(device),
        task,
        result.dev_instances,
        max_tokens=token_budget(device, "evaluation", options.micro_batch_tokens),
        precision=options.precision,
    )
    path = result.run.report if report is None else report
    write_report(path, run_page(found, result, further))
    return path


def run_page(found: Evaluated, result: FinetuneResult, further: Sequence[Section]) -> Report:
    """Lay out what was learnt, and what the best seed's model gets right and wrong on dev."""
    run = result.run
    config = run.read_config()
    runs = {f"seed {one.seed}": run.seed(one.seed) for one in result.seeds}
    best = (
        f"{len(result.seeds)} seeds; seed {result.best.seed}, the best on dev,"
        if len(result.seeds) > 1
        else "one seed; it"
    )
    chosen_on = "the test set does not" if result.figures("test") else "a test set would not"
    lead = (
        f"`{config['model']}` fine-tuned with {best} is in `{result.model}`. What is below "
        f"the curves is of that model on the {len(found.predictions):,} dev examples ({result.dev}). Its weights were "
        f"chosen on these, so they are a little too good; {chosen_on}."
    )
    return Report(
        title=f"{result.name}: {found.task.summary}",
        lead=lead,
        notice=" ".join(f"{warning}." for warning in (result.advice(), *found.instances.all_warnings) if warning),
        facts=_facts(result),
        sections=[
            _seeds(result),
            *further,
            training_curves(runs, found.task.kind, result.select_by),
            *task_sections(found),
            _next(result, "" if further else _MORE_SEEDS),
            settings_section(config),
        ],
        footer="Written by `bertkit finetune`. All figures are in `results.json`, the curves in each `metrics.jsonl`.",
    )


def _facts(result: FinetuneResult) -> list[Fact]:
    """The deciding metric first; test where there is one."""
    split = "test" if result.figures("test") else "dev"
    figures = {name: values for name, values in result.figures(split).items() if name != LOSS}
    names = sorted(figures, key=lambda name: name != result.select_by)[:_MOST_FACTS]
    return [Fact(value=_mean(figures[name]), label=f"{split} {name.replace('_', ' ')}") for name in names]


def _mean(values: list[float]) -> str:
    mean = f"{statistics.fmean(values):.4f}"
    return f"{mean} ± {deviation(values):.4f}" if len(values) > 1 else mean


def _seeds(result: FinetuneResult) -> Section:
    columns = [(split, name) for split in ("dev", "test") for name in result.figures(split)]
    rows = []
    for one in result.seeds:
        cells = (f"{getattr(one, split)[name]:.4f}" for split, name in columns)
        mark = (" (best)" if one is result.best else "") + (" (failed)" if one.failed else "")
        rows.append((f"{one.seed}{mark}", *cells, f"{one.steps:,}", f"{one.seconds:.0f} s"))
    if len(result.seeds) > 1:
        rows.append(("mean ± sd", *(_mean(result.figures(split)[name]) for split, name in columns), "", ""))
        ends = (metric_interval(name, result.figures(split)[name]) for split, name in columns)
        rows.append(("95 % interval", *(f"{low:.4f} to {high:.4f}" for low, high in ends), "", ""))
    head = ("seed", *(f"{split} {name.replace('_', ' ')}" for split, name in columns), "updates", "training")
    return Section(title="Seeds", blocks=[Table(head=head, rows=rows, caption=f"{describe_machine()}.")])


def _next(result: FinetuneResult, caption: str) -> Section:
    model = shlex.quote(str(result.model))
    commands = (
        f"bertkit predict {model} --input NEW --output predictions.jsonl\n"
        f"bertkit evaluate {model} --data LABELLED --report other.html\n"
        f"tensorboard --logdir {shlex.quote(str(result.run.path))}"
    )
    return Section(title="What to type next", blocks=[Commands(text=commands, caption=caption)])


def write_grid_report(found: GridResult) -> Path:
    """Write the page of the chosen setting's run, with a table of all settings, as the grid's report."""
    caption = (
        f"By {found.best.select_by} on dev ({found.best.dev}). A dev figure that was chosen among many is too good."
    )
    table = Table(head=GRID_COLUMNS, rows=found.rows(), caption=caption)
    tried = Section(title=f"{len(found.settings)} settings", blocks=[table])
    return write_run_report(found.best, report=found.run.report, further=[tried])


SECTIONS: Mapping[type[Task[Any]], Callable[[Evaluated], list[Section]]] = {
    Classification: class_sections,
    MultiLabel: label_sections,
    Regression: score_sections,
    SpanExtraction: answer_sections,
    MultipleChoice: choice_sections,
    Tagging: tag_sections,
}
"""What a page says of a kind of task, and of those that derive from it; other kinds have `prediction_sections`."""


def task_sections(found: Evaluated) -> list[Section]:
    """What there is to say of the task's kind."""
    made = next((SECTIONS[one] for one in type(found.task).__mro__ if one in SECTIONS), prediction_sections)
    return made(found)


def prediction_sections(found: Evaluated) -> list[Section]:
    """What a page says of any kind: predictions on examples from all over the data."""
    examples = found.instances.examples
    passages = [
        Passage(
            head="  ".join(found.predictions[index].fields()),
            pieces=excerpt(examples.marked_text(index)),
            note=examples.place(index),
        )
        for index in np.unique(np.linspace(0, len(examples) - 1, _MOST_PREDICTIONS).astype(np.int64)).tolist()
    ]
    caption = f"{len(passages)} of {len(examples):,}, evenly over the data."
    return [Section(title="Predictions", blocks=[Passages(passages=passages, caption=caption)])]


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
        notice=" ".join(f"{warning}." for warning in found.instances.all_warnings),
        facts=[
            Fact(value=f"{value:.4f}", label=name.replace("_", " "))
            for name, value in list(figures.items())[:_MOST_FACTS]
        ],
        sections=[
            Section(title="All figures", blocks=[Table(head=("figure", "value"), rows=rows)]),
            *task_sections(found),
            Section(title="What to type next", blocks=[Commands(text=commands)]),
        ],
        footer="Written by `bertkit evaluate --report`.",
    )
