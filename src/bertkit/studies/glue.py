"""GLUE whole: one pre-trained model fine-tuned on every task whose files are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bertkit.foundation.console import note
from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_path, exclusive, write_json
from bertkit.recipes.finetune import finetune
from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.recipes.finetune_result import FinetuneResult
from bertkit.recipes.grid import finetune_grid
from bertkit.recipes.grid_options import GridOptions
from bertkit.studies.glue_result import GlueResult
from bertkit.studies.task_report.run_page import REPORT_FILE, write_run_report
from bertkit.tasks.benchmarks import find_benchmark
from bertkit.tasks.glue import GLUE

GLUE_TASKS = tuple(dict.fromkeys(entry.benchmark for entry in GLUE if entry.metric is not None))


def run_glue(
    model: Path,
    data: Path,
    out: Path,
    options: FinetuneOptions,
    *,
    tasks: Sequence[str] = GLUE_TASKS,
    grid: GridOptions | None = None,
    resume: bool | None = None,
) -> GlueResult:
    """Fine-tune in `out/TASK` on every one of `tasks` whose files lie in `data/TASK`, and write the results table.

    `data` may be GLUE's name on the hub. The table, `out/results.json` and `results.md`, is there from the first
    finished task on. Tasks without files are left out by name; none at all raises `InputError`. `resume` is that of
    `finetune`.
    """
    names = [find_benchmark(task).name for task in tasks]
    for name in names:
        if name not in GLUE_TASKS:
            raise InputError(f"{name} is no task of GLUE with a training set: choose among {', '.join(GLUE_TASKS)}")
    skipped = {
        row.name: f"{row.folder(data)} has no {', no '.join(missing)}"
        for row in map(find_benchmark, names)
        if (missing := row.missing(row.folder(data)))
    }
    for name, reason in skipped.items():
        note(f"{name} is left out: {reason}")
    if len(skipped) == len(names):
        raise InputError(f"{data} has the files of no task: give the folder with CoLA/, RTE/ and so on")
    results: dict[str, FinetuneResult] = {}
    with exclusive(out):
        for name in names:
            if name not in skipped:
                results[name] = _run(model, data, out / name, name, options, grid, resume)
                _write(out, GlueResult(results, skipped))
    return GlueResult(results, skipped)


def _run(
    model: Path,
    data: Path,
    out: Path,
    name: str,
    options: FinetuneOptions,
    grid: GridOptions | None,
    resume: bool | None,
) -> FinetuneResult:
    row = find_benchmark(name)
    task_data = row.data(row.folder(data))
    if grid is None:
        result, run = finetune(model, task_data, out, options, resume=resume), out
    else:
        found = finetune_grid(model, task_data, out, options, grid, resume=resume)
        result, run = found.best, found.run
    report, done = run / REPORT_FILE, max(path.stat().st_mtime for path in run.glob("seed-*/result.json"))
    if not report.exists() or report.stat().st_mtime < done:
        write_run_report(run, result, options)
    return result


def _write(out: Path, result: GlueResult) -> None:
    write_json(out / "results.json", result.to_json())
    with atomic_path(out / "results.md") as path:
        path.write_text(result.markdown(), encoding="utf-8")
