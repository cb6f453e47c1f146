"""GLUE whole: one pre-trained model fine-tuned on every task whose files are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bertkit.data.text_stream import EncodingErrors
from bertkit.foundation.console import note
from bertkit.foundation.devices import default_device, resolve_micro_batch_tokens
from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_path, exclusive, write_json
from bertkit.recipes.finetune import finetune
from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.recipes.finetune_result import FinetuneResult
from bertkit.recipes.grid import finetune_grid
from bertkit.recipes.grid_options import GridOptions
from bertkit.studies.glue_result import GlueResult
from bertkit.studies.task_report.grid_page import write_grid_report
from bertkit.studies.task_report.run_page import REPORT_FILE, write_run_report
from bertkit.tasks.benchmarks import find_benchmark
from bertkit.tasks.evaluation import evaluate
from bertkit.tasks.examples import Examples
from bertkit.tasks.folder import load_task_model
from bertkit.tasks.glue import GLUE
from bertkit.tasks.task_data import TaskData
from bertkit.text.tokenizer import Tokenizer

_DIAGNOSTIC = find_benchmark("AX")
GLUE_TASKS = tuple(dict.fromkeys(entry.benchmark for entry in GLUE if entry.metric is not None))


def run_glue(
    model: Path,
    data: Path,
    out: Path,
    options: FinetuneOptions,
    *,
    tasks: Sequence[str] = GLUE_TASKS,
    encoding_errors: EncodingErrors = "strict",
    grid: GridOptions | None = None,
    resume: bool | None = None,
) -> GlueResult:
    """Fine-tune in `out/TASK` on every one of `tasks` whose files lie in `data/TASK`, and write the results table.

    `data` may be GLUE's name on the hub. The table, `out/results.json` and `results.md`, is there from the first
    finished task on. MNLI's model is measured on the diagnostic set, too, where its labels are there. Tasks without
    files are left out by name; none at all raises `InputError`. `resume` is that of `finetune`.
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
    diagnostic = _read_diagnostic(data, encoding_errors)
    found = GlueResult({}, skipped)
    with exclusive(out):
        for name in names:
            if name not in skipped:
                row = find_benchmark(name)
                task_data = row.data(row.folder(data), encoding_errors=encoding_errors)
                result = _run(model, task_data, out / name, options, grid, resume)
                found = replace(found, results={**found.results, name: result})
                if name == _DIAGNOSTIC.model_of and diagnostic is not None:
                    found = replace(found, diagnostic=_measure_diagnostic(result.model, diagnostic, options))
                _write(out, found)
    return found


def _run(
    model: Path, data: TaskData, out: Path, options: FinetuneOptions, grid: GridOptions | None, resume: bool | None
) -> FinetuneResult:
    if grid is None:
        result = finetune(model, data, out, options, resume=resume)
        if _is_stale(out / REPORT_FILE, out):
            write_run_report(out, result, options)
        return result
    found = finetune_grid(model, data, out, options, grid, resume=resume)
    if _is_stale(out / REPORT_FILE, found.run):
        write_grid_report(out, found, options)
    return found.best


def _is_stale(report: Path, run: Path) -> bool:
    """Whether a seed has ended since the page was written."""
    return not report.exists() or report.stat().st_mtime < max(
        path.stat().st_mtime for path in run.glob("seed-*/result.json")
    )


def _read_diagnostic(data: Path, encoding_errors: EncodingErrors) -> Examples | None:
    """The diagnostic set, None where there are no labels of it; the hub has none."""
    folder = _DIAGNOSTIC.folder(data)
    if not data.is_dir() or _DIAGNOSTIC.missing(folder):
        return None
    return _DIAGNOSTIC.read(folder, "test", encoding_errors)


def _measure_diagnostic(model: Path, examples: Examples, options: FinetuneOptions) -> dict[str, float]:
    """Figures of MNLI's model on the diagnostic set."""
    task_model, task = load_task_model(model)
    task = replace(task, metric_names=_DIAGNOSTIC.metric_names or task.metric_names)
    instances = task.encode(examples, Tokenizer.from_pretrained(model))
    for remark in instances.all_remarks:
        note(f"{_DIAGNOSTIC.name}: {remark}")
    device = default_device()
    return evaluate(
        task_model.to(device),
        task,
        instances,
        max_tokens=resolve_micro_batch_tokens(options.micro_batch_tokens, device),
        precision=options.precision,
    )


def _write(out: Path, result: GlueResult) -> None:
    write_json(out / "results.json", result.to_json())
    with atomic_path(out / "results.md") as path:
        path.write_text(result.markdown(), encoding="utf-8")
