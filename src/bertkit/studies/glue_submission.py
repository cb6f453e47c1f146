"""The zip of predictions that the GLUE leaderboard takes, from the models that `run_glue` made."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from bertkit.core.console import note
from bertkit.core.errors import InputError
from bertkit.core.outputs import output_file
from bertkit.data.readers.text import EncodingErrors
from bertkit.inference.load import load
from bertkit.inference.predictor import Predictor
from bertkit.tasks.benchmarks import find_benchmark
from bertkit.tasks.examples import Examples
from bertkit.tasks.glue import GLUE, GlueEntry
from bertkit.tasks.predictions import ClassPrediction, ScorePrediction

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
"""A fixed date, the earliest that zip files have, so that the same models give the same bytes."""


@dataclass(frozen=True, kw_only=True)
class SubmissionFile:
    """One file of the zip: how it was filled."""

    name: str
    rows: int
    model: Path | None
    """The model that predicted it, None where every row has the largest class."""
    warnings: tuple[str, ...]
    """Problems that a person should know of before uploading."""


def write_glue_submission(
    runs: Path, data: Path, out: Path, encoding_errors: EncodingErrors = "strict", *, overwrite: bool = False
) -> tuple[SubmissionFile, ...]:
    """Predict the test files in `data/TASK` with the models in `runs/TASK/model`, or `runs/TASK`; write the zip `out`.

    The leaderboard refuses a zip that lacks one of its files. So a task without a model or without a test file is
    filled with the largest class, in the latter case for the published number of rows. Raises `InputError` if there is
    no model at all, or if one was fine-tuned on another task.
    """
    models = {name: model for name in {entry.model_of for entry in GLUE} if (model := _model(runs / name)) is not None}
    if not models:
        raise InputError(f"{runs} has no model: give the folder that `bertkit glue` wrote, with CoLA/model and so on")
    files: list[SubmissionFile] = []
    written = output_file(out, inputs=[runs, data], overwrite=overwrite)
    with written as temporary, zipfile.ZipFile(temporary, "w") as archive:
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
            member = zipfile.ZipInfo(f"{entry.name}.tsv", _ZIP_DATE)
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
    """The column "prediction", and warnings."""
    if examples is None:
        missing = find_benchmark(entry.benchmark).unlabelled[entry.split].file
        return [entry.fallback] * entry.examples, [
            f"NO TEST FILE {missing}: all {entry.examples:,} rows say {entry.fallback}, which is not a prediction"
        ]
    warnings = list(examples.warnings)
    if len(examples) != entry.examples:
        warnings.append(f"{len(examples):,} rows, but the leaderboard wants {entry.examples:,}")
    if predictor is None:
        warnings.append(f"NO MODEL of {entry.model_of}: every row says {entry.fallback}, which is not a prediction")
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
    """Raise `InputError` for a model whose predictions the leaderboard would not accept."""
    task = predictor.task
    kind = find_benchmark(entry.model_of).kind
    known = set(entry.labels)
    if task.kind != kind or not set(task.classes or ()) <= known:
        said = f"{task.kind} of {', '.join(task.classes)}" if task.classes else task.kind
        wanted = f"{kind} of {', '.join(entry.labels)}" if entry.labels else kind
        raise InputError(
            f"{predictor.model.path} is for {said}, but {entry.name} wants {wanted}: "
            f"give a model that `bertkit finetune --task {entry.model_of}` wrote"
        )
