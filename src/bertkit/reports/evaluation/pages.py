"""The page of a fine-tuning run."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path

from bertkit.foundation.devices import default_device, resolve_micro_batch_tokens
from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.recipes.finetune_result import FinetuneResult, deviation, metric_interval
from bertkit.studies.machine import describe_machine
from bertkit.studies.report import Commands, Fact, Report, Section, Table, write_report
from bertkit.studies.run_settings import settings_section
from bertkit.studies.task_report.evaluated import Evaluated
from bertkit.studies.task_report.families import SECTIONS
from bertkit.studies.task_report.training_curves import training_curves
from bertkit.tasks.evaluation import LOSS
from bertkit.tasks.folder import load_task_model
from bertkit.training.run_config import read_config

REPORT_FILE = "report.html"
_MOST_FACTS = 4
_MORE_SEEDS = "The command that made this run, with a larger `--seeds`, adds seeds to those that are done."


def write_run_report(
    out: Path,
    result: FinetuneResult,
    options: FinetuneOptions,
    *,
    run: Path | None = None,
    further: Sequence[Section] = (),
) -> Path:
    """Look at the run's best model on its dev examples and write `report.html` into `out`.

    `run` is the run folder where `out` is not; `further` sections stand behind the seeds.
    """
    model, task = load_task_model(result.model)
    device = default_device()
    found = Evaluated.of(
        model.to(device),
        task,
        result.dev_instances,
        max_tokens=resolve_micro_batch_tokens(options.micro_batch_tokens, device),
        precision=options.precision,
    )
    path = out / REPORT_FILE
    write_report(path, run_page(found, result, out if run is None else run, further))
    return path


def run_page(found: Evaluated, result: FinetuneResult, run: Path, further: Sequence[Section]) -> Report:
    """Lay out what was learnt, and what the best seed's model gets right and wrong on dev."""
    config = read_config(run)
    runs = {f"seed {one.seed}": run / f"seed-{one.seed}" for one in result.seeds}
    best = (
        f"{len(result.seeds)} seeds; seed {result.best.seed}, the best on dev,"
        if len(result.seeds) > 1
        else "one seed; it"
    )
    chosen_on = "the test set does not" if result.figures("test") else "a test set would not"
    lead = (
        f"`{config['model']}` fine-tuned with {best} is in `{result.model}`. What stands below "
        f"the curves is of that model on the {len(found.predictions):,} dev examples ({result.dev}). Its weights were "
        f"chosen on these, so they flatter a little; {chosen_on}."
    )
    return Report(
        title=f"{result.name}: {found.task.summary}",
        lead=lead,
        notice=" ".join(f"{remark}." for remark in (result.advice(), *found.instances.all_remarks) if remark),
        facts=_facts(result),
        sections=[
            _seeds(result),
            *further,
            training_curves(runs, found.task.kind, result.select_by),
            *SECTIONS[type(found.task)](found),
            _next(result, run, "" if further else _MORE_SEEDS),
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


def _next(result: FinetuneResult, run: Path, caption: str) -> Section:
    model = shlex.quote(str(result.model))
    commands = (
        f"bertkit predict {model} --input NEW --output predictions.jsonl\n"
        f"bertkit evaluate {model} --data LABELLED --report other.html\n"
        f"tensorboard --logdir {shlex.quote(str(run))}"
    )
    return Section(title="What to type next", blocks=[Commands(text=commands, caption=caption)])
