"""- GLUE whole, its table, its submission."""

from __future__ import annotations

import statistics
import zipfile
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
from bertkit.inference.load import load
from bertkit.inference.predictor import Predictor
from bertkit.pretrained.folder import ModelFolder
from bertkit.recipes.finetune import finetune
from bertkit.recipes.finetune_result import FinetuneResult, deviation
from bertkit.recipes.grid import finetune_grid
from bertkit.recipes.options import FinetuneOptions, GridOptions
from bertkit.reports.evaluation.pages import REPORT_FILE, write_grid_report, write_run_report
from bertkit.tasks.benchmarks import find_benchmark
from bertkit.tasks.data import TaskData
from bertkit.tasks.examples import Examples
from bertkit.tasks.glue import GLUE, GlueEntry
from bertkit.tasks.model import load_task_model
from bertkit.tasks.predictions import ClassPrediction, ScorePrediction
from bertkit.text.tokenizer import Tokenizer

_HEADER = ("task", "metric", "dev, mean ± sd", "best", "seeds", "paper, base", "paper, large")


@dataclass(frozen=True)
class GlueResult:
    """What was found on dev, by benchmark, and why the others were left out."""

    results: Mapping[str, FinetuneResult]
    skipped: Mapping[str, str]
    diagnostic: Mapping[str, float] | None = None
    """Figures of MNLI's model on the diagnostic set, where it was measured."""

    def to_json(self) -> dict[str, Any]:
        """What `results.json` holds; all figures are shares, but for the paper's hundredths."""
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
        """The table's cells, in hundredths as the paper has them; the last row has means over the paper's tasks."""
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
        """For the terminal."""
        table = Table(title="GLUE: ours on dev, the paper's on the test server")
        for name in _HEADER:
            table.add_column(name)
        for row in self.rows():
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """What `results.md` holds."""
        lines = [_HEADER, ("---",) * len(_HEADER), *self.rows()]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        skipped = "".join(f"\n{name} is left out: {reason}.\n" for name, reason in self.skipped.items())
        diagnostic = "" if self.diagnostic is None else "\nAX is the diagnostic set, answered by the model of MNLI.\n"
        return (
            "# GLUE\n\nOurs on dev: mean and standard deviation over the seeds, and the seed whose weights were kept, "
            "best by the task's first metric. The paper's (Devlin et al. 2019, table 1) are scores on the test "
            f"server, F1 for QQP and MRPC and Spearman for STS-B.\n\n{table}\n{diagnostic}{skipped}"
        )

    def _figures(self) -> list[tuple[GlueEntry, list[float], float]]:
        """Dev figures of all seeds, and that of the seed that was kept, in the paper's order."""
        return [
            (entry, result.figures("dev")[entry.metric], result.best.dev[entry.metric])
            for entry in GLUE
            if entry.metric is not None and (result := self.results.get(entry.benchmark)) is not None
        ]


def _paper(base: float | None, large: float | None) -> tuple[str, str]:
    return ("" if base is None else f"{base:.1f}", "" if large is None else f"{large:.1f}")


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
    write_json(out / "results.json", result.to_json())
    with atomic_path(out / "results.md") as path:
        path.write_text(result.markdown(), encoding="utf-8")


_FIRST_DAY = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class SubmissionFile:
    """What went into one file of the zip."""

    name: str
    rows: int
    model: Path | None
    """None where every row has the largest class."""
    warnings: tuple[str, ...]
    """What is not as the leaderboard or the reader would expect."""


def write_glue_submission(
    runs: Path, data: Path, out: Path, encoding_errors: EncodingErrors = "strict"
) -> tuple[SubmissionFile, ...]:
    """Predict the test files in `data/TASK` by the models in `runs/TASK/model`, or `runs/TASK`, into the zip `out`.

    The leaderboard refuses a zip that lacks one of its files: those of tasks without a model or without a test file
    are filled with the largest class, the latter in the published number of rows. Raises `InputError` where there is
    no model at all and for one that was fine-tuned on something else.
    """
    models = {name: model for name in {entry.model_of for entry in GLUE} if (model := _model(runs / name)) is not None}
    if not models:
        raise InputError(f"{runs} has no model: give the folder that `bertkit glue` wrote, with CoLA/model and so on")
    files: list[SubmissionFile] = []
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        predictor: Predictor | None = None
        for entry in sorted(GLUE, key=lambda entry: entry.model_of):  # files of one model follow each other
            model = models.get(entry.model_of)
            if model is None:
                predictor = None
            elif predictor is None or predictor.model.path != model:
                predictor = load(model)
            examples = _examples(entry, data, encoding_errors)
            values, warnings = _values(entry, examples, predictor)
            lines = ["index\tprediction", *(f"{index}\t{value}" for index, value in enumerate(values))]
            # Without the time of writing the same models give the same bytes.
            member = zipfile.ZipInfo(f"{entry.name}.tsv", _FIRST_DAY)
            archive.writestr(member, "\n".join(lines) + "\n", zipfile.ZIP_DEFLATED)
            for warning in warnings:
                note(f"{entry.name}.tsv: {warning}")
            by = None if predictor is None or examples is None else model
            files.append(SubmissionFile(name=f"{entry.name}.tsv", rows=len(values), model=by, warnings=tuple(warnings)))
    return tuple(files)


def _model(folder: Path) -> Path | None:
    return next((path for path in (folder / "model", folder) if (path / "config.json").is_file()), None)


def _examples(entry: GlueEntry, data: Path, encoding_errors: EncodingErrors) -> Examples | None:
    """The rows to predict, None where the file is not there."""
    row = find_benchmark(entry.benchmark)
    folder = row.folder(data)
    if not row.has_unlabelled(folder, entry.split):
        return None
    return row.read_unlabelled(folder, entry.split, encoding_errors)


def _values(entry: GlueEntry, examples: Examples | None, predictor: Predictor | None) -> tuple[list[str], list[str]]:
    """What stands in the column "prediction", and warnings."""
    if examples is None:
        missing = find_benchmark(entry.benchmark).unlabelled[entry.split].file
        return [entry.fallback] * entry.examples, [
            f"NO TEST FILE {missing}: all {entry.examples:,} rows say {entry.fallback}, which is no prediction"
        ]
    warnings = list(examples.warnings)
    if len(examples) != entry.examples:
        warnings.append(f"{len(examples):,} rows, but the leaderboard wants {entry.examples:,}")
    if predictor is None:
        warnings.append(f"NO MODEL of {entry.model_of}: every row says {entry.fallback}, which is no prediction")
        return [entry.fallback] * len(examples), warnings
    _check(entry, predictor)
    if predictor.task.benchmark not in (None, entry.model_of):
        warnings.append(f"predicted by a model that was fine-tuned on {predictor.task.benchmark}")
    values = []
    for prediction in predictor.predict_examples(examples):
        if isinstance(prediction, ScorePrediction):
            assert entry.score_range is not None
            low, high = entry.score_range
            values.append(f"{min(max(prediction.score, low), high):.3f}")
        else:
            assert isinstance(prediction, ClassPrediction)
            values.append(prediction.label)
    return values, warnings


def _check(entry: GlueEntry, predictor: Predictor) -> None:
    """Raise `InputError` for a model whose answers the leaderboard would not read."""
    task = predictor.task
    kind = find_benchmark(entry.model_of).family.kind
    known = set(entry.labels)
    if task.kind != kind or not set(task.classes or ()) <= known:
        said = f"{task.kind} of {', '.join(task.classes)}" if task.classes else task.kind
        wanted = f"{kind} of {', '.join(entry.labels)}" if entry.labels else kind
        raise InputError(
            f"{predictor.model.path} is for {said}, but {entry.name} wants {wanted}: "
            f"give a model that `bertkit finetune --task {entry.model_of}` wrote"
        )
