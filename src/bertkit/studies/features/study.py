"""Train on every set of features of one frozen encoder, on one task."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from bertkit.core.console import note
from bertkit.core.devices import describe_machine
from bertkit.core.errors import InputError
from bertkit.core.files import sha256, write_json
from bertkit.core.records import read_record, write_record
from bertkit.inference.load import load
from bertkit.inference.loaded_model import LoadedModel
from bertkit.reports.page import write_report
from bertkit.studies.features.cache import StudyData
from bertkit.studies.features.classifier import TextBench
from bertkit.studies.features.plan import PUBLISHED, FeatureSet, FeatureStudyOptions, find_feature_sets
from bertkit.studies.features.report import feature_report
from bertkit.studies.features.result import FeatureRow, FeatureStudyResult, SeedFigures
from bertkit.studies.features.tagger import TagBench
from bertkit.tasks.data import TaskData
from bertkit.tasks.tagging.task import Tagging
from bertkit.training.run_folder import RunFolder


class Bench(Protocol):
    """Trains on cached features and evaluates; one class for texts, one for tags."""

    poolings: tuple[str, ...]

    @property
    def seeds(self) -> int:
        """How many different trainings a set of features gets."""

    def run(self, features: FeatureSet, layers: tuple[int, ...], pooling: str, seed: int, run: Path) -> SeedFigures:
        """Train and evaluate once; `run` is a folder for the training's files."""

    def largest_class(self, metric: str) -> Mapping[str, float] | None:
        """The metric, by part, of always predicting the largest training class."""


def study_features(
    model: str | Path, data: TaskData, out: Path, options: FeatureStudyOptions, *, resume: bool | None = None
) -> FeatureStudyResult:
    """Run the encoder once over each part, train on every set of features; write `out/results.json` and `report.html`.

    A study that was stopped resumes when it is called again with the same options.
    """
    loaded = load(model, precision=options.precision).model
    chosen, skipped = _sets(options, loaded)
    studied = StudyData.of(data, loaded, options)
    layers = tuple(sorted({layer for found in chosen.values() for layer in found}))
    run = RunFolder(out)
    with run.claim(_config(loaded, studied, options), resume, may_change=("model",)):
        for warning in studied.warnings:
            note(warning)
        make: type[TagBench] | type[TextBench] = TagBench if isinstance(studied.task, Tagging) else TextBench
        bench: Bench = make(loaded, studied, layers, options, out / "features")
        metric = studied.task.metric_names[0]
        rows = tuple(
            _row(bench, one, found, pooling, loaded, studied, out)
            for pooling in bench.poolings
            for one, found in chosen.items()
        )
        result = FeatureStudyResult(
            task=studied.name,
            model=str(loaded.path),
            metric=metric,
            examples={name: len(part.examples) for name, part in studied.parts.items()} | _held_out(studied, options),
            dev=studied.dev,
            largest_class=bench.largest_class(metric),
            rows=rows,
            skipped=skipped,
            machine=describe_machine(),
        )
        write_json(run.results, result.to_json())
        write_report(run.report, feature_report(result, options))
    return result


def _sets(
    options: FeatureStudyOptions, model: LoadedModel
) -> tuple[dict[FeatureSet, tuple[int, ...]], tuple[str, ...]]:
    """The sets of features that the model has enough layers for, and the names of the others."""
    num_layers = model.config.num_hidden_layers
    found = {one: one.find(num_layers) for one in find_feature_sets(options.features)}
    skipped = tuple(one.name for one, layers in found.items() if layers is None)
    chosen = {one: layers for one, layers in found.items() if layers is not None}
    if not chosen:
        raise InputError(f"{model.path} has {num_layers} layers, too few for {', '.join(skipped)}")
    for name in skipped:
        note(f"{name} is left out: the model has {num_layers} layers")
    return chosen, skipped


def _row(
    bench: Bench,
    features: FeatureSet,
    layers: tuple[int, ...],
    pooling: str,
    model: LoadedModel,
    data: StudyData,
    out: Path,
) -> FeatureRow:
    seeds = tuple(
        _seed(bench, features, layers, pooling, seed, out / "runs" / f"{pooling}-{features.name}-{seed}")
        for seed in range(bench.seeds)
    )
    width = model.config.hidden_size * (len(layers) if features.combination == "concat" else 1)
    return FeatureRow(
        features=features.name,
        pooling=pooling,
        layers=layers,
        width=width,
        seeds=seeds,
        published=PUBLISHED.get((data.name, pooling, features.name)),
    )


def _seed(
    bench: Bench, features: FeatureSet, layers: tuple[int, ...], pooling: str, seed: int, run: Path
) -> SeedFigures:
    """Train once, or read the scores if it was done before."""
    path = run.with_suffix(".json")
    if path.is_file():
        return read_record(path, SeedFigures, "remove it, the seed is trained again")
    figures = bench.run(features, layers, pooling, seed, run)
    write_record(path, asdict(figures))
    found = ", ".join(f"{name} {value:.4f}" for name, value in figures.dev.items())
    note(f"{features.name}, {pooling}, seed {seed}: dev {found} ({figures.seconds:.1f} s)")
    return figures


def _held_out(data: StudyData, options: FeatureStudyOptions) -> dict[str, int]:
    """Numbers of training and dev texts where each seed holds out its own."""
    if options.hold_out is None:
        return {}
    total = len(data.parts["train"].examples)
    held_out = -int(-total * options.hold_out // 1)
    return {"train": total - held_out, "dev": held_out}


def _config(model: LoadedModel, data: StudyData, options: FeatureStudyOptions) -> dict[str, Any]:
    """Everything that decides the scores. Without the number of seeds: more can be added to a finished study."""
    chosen = asdict(options)
    del chosen["seeds"]
    digest = hashlib.blake2b(digest_size=16)
    for part in data.parts.values():
        for sequence in part.sequences:
            digest.update(sequence.input_ids.tobytes())
        assert part.targets is not None
        digest.update(part.targets.numpy().tobytes())
    return {
        "model": str(model.path),
        "weights": [sha256(part) for part in model.folder.weight_files],
        "task": {"name": data.name, **data.task.description(), "labels": data.task.classes},
        "data": digest.hexdigest(),
        **chosen,
    }
