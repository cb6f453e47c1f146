"""Fine-tune on every task of GLUE and print the table beside the paper's."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from bertkit.core.console import note
from bertkit.core.devices import default_device, token_budget
from bertkit.core.errors import InputError
from bertkit.core.files import atomic_path, exclusive, write_json
from bertkit.data.readers.text import EncodingErrors
from bertkit.inference.evaluation import evaluate
from bertkit.pretrained.folder import ModelFolder
from bertkit.recipes.finetune import finetune
from bertkit.recipes.finetune_result import FinetuneResult, deviation
from bertkit.recipes.grid import finetune_grid
from bertkit.recipes.options import FinetuneOptions, GridOptions
from bertkit.reports.evaluation.pages import write_grid_report, write_run_report
from bertkit.tasks.benchmarks import find_benchmark
from bertkit.tasks.data import TaskData
from bertkit.tasks.examples import Examples
from bertkit.tasks.glue import GLUE, GlueEntry
from bertkit.tasks.model import load_task_model
from bertkit.text.tokenizer import Tokenizer
from bertkit.training.run_folder import RunFolder

GLUE_TASKS = tuple(dict.fromkeys(entry.benchmark for entry in GLUE if entry.metric is not None))
"""Names of the benchmarks that have a training set, in the paper's order."""
_DIAGNOSTIC = find_benchmark("AX")
_HEADER = ("task", "metric", "dev, mean ± sd", "best", "seeds", "paper, base", "paper, large")


@dataclass(frozen=True)
class GlueResult:
    """Results on dev by benchmark, and why the other benchmarks were left out."""

    results: Mapping[str, FinetuneResult]
    skipped: Mapping[str, str]
    diagnostic: Mapping[str, float] | None = None
    """Metrics of MNLI's model on the diagnostic set, where it was measured."""

    def to_json(self) -> dict[str, Any]:
        """The content of `results.json`: shares from 0 to 1; the paper's scores are in percent, as printed."""
        return {
            "table": [
                {"task": entry.name, "metric": entry.metric, "dev": values, "best": best}
                | {"mean": statistics.fmean(values), "standard_deviation": deviation(values)}
                | {"paper_base": entry.base, "paper_large": entry.large}
                for entry, values, best in self._figures()
            ],
            "diagnostic": None if self.diagnostic is None else dict(self.diagnostic),
            "skipped": dict(self.skipped),
            "runs": {name: result.to_json() for name, result in self.results.items()},
        }

    def rows(self) -> list[tuple[str, ...]]:
        """The table's cells in percent, as in the paper; the last row has the means over the paper's tasks."""
        figures = self._figures()
        rows: list[tuple[str, ...]] = [
            (
                entry.name,
                str(entry.metric),
                f"{100 * statistics.fmean(values):.1f} ± {100 * deviation(values):.1f}",
                f"{100 * best:.1f}",
                str(len(values)),
                *_paper(entry.base, entry.large),
            )
            for entry, values, best in figures
        ]
        if self.diagnostic is not None:
            rows.append(("AX", "matthews", "", f"{100 * self.diagnostic['matthews']:.1f}", "1", "", ""))
        shared = [(entry, values, best) for entry, values, best in figures if entry.base is not None]
        if shared:
            rows.append(
                (
                    f"average of {len(shared)}",
                    "",
                    f"{100 * statistics.fmean(statistics.fmean(values) for _, values, _ in shared):.1f}",
                    f"{100 * statistics.fmean(best for _, _, best in shared):.1f}",
                    "",
                    *_paper(
                        statistics.fmean(entry.base or 0.0 for entry, _, _ in shared),
                        statistics.fmean(entry.large or 0.0 for entry, _, _ in shared),
                    ),
                )
            )
        return rows

    def table(self) -> Table:
        """The table for the terminal."""
        table = Table(title="GLUE: our scores on dev, the paper's on the test server")
        for name in _HEADER:
            table.add_column(name)
        for row in self.rows():
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """The content of `results.md`."""
        lines = [_HEADER, ("---",) * len(_HEADER), *self.rows()]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        skipped = "".join(f"\n{name} is left out: {reason}.\n" for name, reason in self.skipped.items())
        diagnostic = "" if self.diagnostic is None else "\nAX is the diagnostic set, predicted by the model of MNLI.\n"
        return (
            "# GLUE\n\nOur scores are on dev: mean and standard deviation over the seeds, and the best seed by the "
            "task's first metric, whose weights were kept. The paper's scores (Devlin et al. 2019, table 1) are on the "
            f"test server: F1 for QQP and MRPC, Spearman for STS-B.\n\n{table}\n{diagnostic}{skipped}"
        )

    def _figures(self) -> list[tuple[GlueEntry, list[float], float]]:
        """Each task's scores of all seeds on dev, and that of the seed that was kept, in the paper's order."""
        return [
            (entry, result.figures("dev")[entry.metric], result.best.dev[entry.metric])
            for entry in GLUE
            if entry.metric is not None and (result := self.results.get(entry.benchmark)) is not None
        ]


def _paper(base: float | None, large: float | None) -> tuple[str, str]:
    return ("" if base is None else f"{base:.1f}", "" if large is None else f"{large:.1f}")


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
    """Fine-tune in `out/TASK` on every one of `tasks` that has its files in `data/TASK`, and write the results table.

    `data` may be GLUE's name on the hub. The table, `out/results.json` and `results.md`, is written after every task.
    MNLI's model is also measured on the diagnostic set where its labels exist. A task without files is skipped with a
    warning; if no task has files, `InputError` is raised. `resume` is that of `finetune`.
    """
    names = [find_benchmark(task).name for task in tasks]
    for name in names:
        if name not in GLUE_TASKS:
            raise InputError(f"{name} is not a GLUE task with a training set: choose among {', '.join(GLUE_TASKS)}")
    skipped = {
        row.name: f"{row.folder(data)} has no {', no '.join(missing)}"
        for row in map(find_benchmark, names)
        if (missing := row.missing(row.folder(data)))
    }
    for name, reason in skipped.items():
        note(f"{name} is left out: {reason}")
    if len(skipped) == len(names):
        raise InputError(f"{data} has no files of any GLUE task: give the folder with CoLA/, RTE/ and so on")
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
        if _is_stale(result.run.report, result.run):
            write_run_report(result)
        return result
    found = finetune_grid(model, data, out, options, grid, resume=resume)
    if _is_stale(found.run.report, found.best.run):
        write_grid_report(found)
    return found.best


def _is_stale(report: Path, run: RunFolder) -> bool:
    """Whether a seed has ended since the page was written."""
    ended = [seed.result.stat().st_mtime for seed in run.seeds() if seed.result.exists()]
    return not report.exists() or report.stat().st_mtime < max(ended)


def _read_diagnostic(data: Path, encoding_errors: EncodingErrors) -> Examples | None:
    """The diagnostic set, None where its labels are missing, as on the hub."""
    folder = _DIAGNOSTIC.folder(data)
    if not data.is_dir() or _DIAGNOSTIC.missing(folder):
        return None
    return _DIAGNOSTIC.read(folder, "test", encoding_errors)


def _measure_diagnostic(model: Path, examples: Examples, options: FinetuneOptions) -> dict[str, float]:
    """Metrics of MNLI's model on the diagnostic set."""
    folder = ModelFolder.open(model)
    task_model, task = load_task_model(folder)
    task = replace(task, metric_names=_DIAGNOSTIC.metric_names or task.metric_names)
    instances = task.encode(examples, Tokenizer.from_pretrained(folder.path))
    for warning in instances.all_warnings:
        note(f"{_DIAGNOSTIC.name}: {warning}")
    device = default_device()
    return evaluate(
        task_model.to(device),
        task,
        instances,
        max_tokens=token_budget(device, "evaluation", options.micro_batch_tokens),
        precision=options.precision,
    )


def _write(out: Path, result: GlueResult) -> None:
    write_json(RunFolder(out).results, result.to_json())
    with atomic_path(out / "results.md") as path:
        path.write_text(result.markdown(), encoding="utf-8")
