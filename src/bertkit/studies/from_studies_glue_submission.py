"""The zip file that the GLUE leaderboard takes, from fine-tuned models and the official test files."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from bertkit.data.text_stream import EncodingErrors
from bertkit.foundation.console import note
from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_path
from bertkit.inference.load import load
from bertkit.inference.predictor import Predictor
from bertkit.tasks.benchmarks import find_benchmark
from bertkit.tasks.examples import Examples
from bertkit.tasks.glue import GLUE, GlueEntry
from bertkit.tasks.prediction import ClassPrediction, ScorePrediction
from bertkit.tasks.regression import Regression

_FIRST_DAY = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class SubmissionFile:
    """What went into one file of the zip."""

    name: str
    rows: int
    model: Path | None
    """None where every row has the largest class."""
    remarks: tuple[str, ...]
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
            values, remarks = _values(entry, examples, predictor)
            lines = ["index\tprediction", *(f"{index}\t{value}" for index, value in enumerate(values))]
            # Without the time of writing the same models give the same bytes.
            member = zipfile.ZipInfo(f"{entry.name}.tsv", _FIRST_DAY)
            archive.writestr(member, "\n".join(lines) + "\n", zipfile.ZIP_DEFLATED)
            for remark in remarks:
                note(f"{entry.name}.tsv: {remark}")
            by = None if predictor is None or examples is None else model
            files.append(SubmissionFile(name=f"{entry.name}.tsv", rows=len(values), model=by, remarks=tuple(remarks)))
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
    """What stands in the column "prediction", and remarks."""
    if examples is None:
        missing = find_benchmark(entry.benchmark).unlabelled[entry.split].file
        return [entry.fallback] * entry.examples, [
            f"NO TEST FILE {missing}: all {entry.examples:,} rows say {entry.fallback}, which is no prediction"
        ]
    remarks = list(examples.remarks)
    if len(examples) != entry.examples:
        remarks.append(f"{len(examples):,} rows, but the leaderboard wants {entry.examples:,}")
    if predictor is None:
        remarks.append(f"NO MODEL of {entry.model_of}: every row says {entry.fallback}, which is no prediction")
        return [entry.fallback] * len(examples), remarks
    _check(entry, predictor)
    if predictor.task.benchmark not in (None, entry.model_of):
        remarks.append(f"predicted by a model that was fine-tuned on {predictor.task.benchmark}")
    values = []
    for prediction in predictor.predict_examples(examples):
        if isinstance(prediction, ScorePrediction):
            assert entry.score_range is not None
            low, high = entry.score_range
            values.append(f"{min(max(prediction.score, low), high):.3f}")
        else:
            assert isinstance(prediction, ClassPrediction)
            values.append(prediction.label)
    return values, remarks


def _check(entry: GlueEntry, predictor: Predictor) -> None:
    """Raise `InputError` for a model whose answers the leaderboard would not read."""
    task = predictor.task
    kind = find_benchmark(entry.model_of).family.kind
    known = set(entry.labels)
    if task.kind != kind or (task.kind != Regression.kind and not set(task.labels or ()) <= known):
        said = f"{task.kind} of {', '.join(task.labels)}" if task.labels else task.kind
        wanted = f"{kind} of {', '.join(entry.labels)}" if entry.labels else kind
        raise InputError(
            f"{predictor.model.path} is for {said}, but {entry.name} wants {wanted}: "
            f"give a model that `bertkit finetune --task {entry.model_of}` wrote"
        )
