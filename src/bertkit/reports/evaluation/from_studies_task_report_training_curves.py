"""How the runs of a fine-tuning went, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bertkit.studies.figures import Axis, Series, plot
from bertkit.studies.report import Plots, Section
from bertkit.tasks.evaluation import LOSS
from bertkit.training.metrics_log import read_metrics

_Lines = Sequence[Mapping[str, float]]


def training_curves(runs: Mapping[str, Path], kind: str, select_by: str) -> Section:
    """Training loss, and loss and the deciding metric on dev, of every run by its name."""
    lines = {name: read_metrics(run) for name, run in runs.items()}
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
