"""The page of a pre-training run."""

from __future__ import annotations

import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertkit.core.console import format_duration
from bertkit.core.devices import describe_machine
from bertkit.core.records import read_record
from bertkit.recipes.estimate import PLAN_REMEDY, Plan
from bertkit.recipes.pretrain import MeasuredBaselines
from bertkit.reports.page import Commands, Fact, Plots, Report, Section, Table, settings_section, write_report
from bertkit.reports.plots import Axis, Series, plot
from bertkit.training.run_folder import RunFolder

_Lines = Sequence[Mapping[str, Any]]


def write_pretraining_report(run: RunFolder) -> Path:
    """Write `run.report` from the files of a finished run."""
    write_report(run.report, pretraining_page(run))
    return run.report


def pretraining_page(run: RunFolder) -> Report:
    """The page: losses and accuracies, how training went, the estimated and the actual budget, the settings."""
    lines = run.read_metrics()
    trained = [line for line in lines if line["kind"] == "train"]
    evaluated = [line for line in lines if line["kind"] == "evaluation"]
    config = run.read_config()
    model = shlex.quote(str(run.model))
    commands = (
        f'bertkit fill-mask {model} "The capital of France is [MASK]."\n'
        f"bertkit finetune {model} --train TABLE --text COLUMN --label COLUMN --out FINETUNED\n"
        f"bertkit embed {model} --input TEXTS --output vectors.npy"
    )
    return Report(
        title="Pre-training",
        lead=f"The model is in `{run.model}`, trained on `{config['data']}`. {describe_machine()}.",
        notice=_skipped_updates(trained),
        facts=_facts(trained, evaluated),
        sections=[
            *_losses(trained, evaluated, _unigram_entropy(run)),
            *_training(trained),
            *_budget(run),
            Section(title="Next commands", blocks=[Commands(text=commands)]),
            settings_section(config),
        ],
        footer="Written by `bertkit pretrain`. All figures are in `metrics.jsonl` and in `tensorboard/`.",
    )


def _unigram_entropy(run: RunFolder) -> float | None:
    if not run.baselines.is_file():
        return None
    return MeasuredBaselines.read(run.baselines).baselines.unigram_entropy


def _skipped_updates(trained: _Lines) -> str:
    """How many updates were skipped and why; empty if none were."""
    reasons = {
        "steps_not_finite": "a loss or gradients that are not finite",
        "steps_spiked": "a spike of the loss or of the gradient norm",
    }
    counts = {reason: trained[-1].get(name, 0) if trained else 0 for name, reason in reasons.items()}
    return " ".join(f"{count:,} updates were skipped because of {reason}." for reason, count in counts.items() if count)


def _facts(trained: _Lines, evaluated: _Lines) -> list[Fact]:
    facts = []
    if evaluated:
        for name, loss in evaluated[-1].items():
            if name.endswith("/masked_lm_loss") and loss is not None:
                facts.append(Fact(value=f"{math.exp(loss):,.1f}", label=f"perplexity, {_part_name(name)}"))
        if (seconds := evaluated[-1].get("wall_seconds")) is not None:
            facts.append(Fact(value=format_duration(seconds), label="wall-clock time"))
    if trained:
        facts.append(Fact(value=f"{trained[-1]['step']:,}", label="updates"))
    if speeds := [line["tokens_per_second"] for line in trained if line.get("tokens_per_second")]:
        facts.append(Fact(value=f"{statistics.median(speeds):,.0f}", label="tokens/s"))
    if shares := [line["share_of_matrix_peak"] for line in trained if line.get("share_of_matrix_peak")]:
        facts.append(
            Fact(value=f"{100 * statistics.median(shares):.2g}%", label="of the machine's matrix throughput (MFU)")
        )
    return facts


def _losses(trained: _Lines, evaluated: _Lines, entropy: float | None) -> list[Section]:
    """Loss and accuracy of both objectives, in training and on held-out text."""
    svgs = []
    for figure, label in (
        ("masked_lm_loss", "masked-LM loss"),
        ("masked_lm_accuracy", "masked-LM accuracy"),
        ("next_sentence_loss", "next-sentence loss"),
        ("next_sentence_accuracy", "next-sentence accuracy"),
    ):
        series = [_series("training", trained, figure), *_held_out(evaluated, figure)]
        if entropy is not None and figure == "masked_lm_loss" and trained:
            ends = [0, trained[-1]["step"]]
            series.append(Series(label="unigram entropy", x=ends, y=[entropy, entropy], dashed=True))
        if any(one.x for one in series):
            svgs.append(plot([one for one in series if one.x], Axis(label="update"), Axis(label=label), figure))
    caption = (
        "The lines for training and held-out text cannot be compared directly: training uses dropout and the run's own "
        "masking, held-out text is masked as in the paper. A model whose loss is at the unigram entropy predicts by "
        "frequency and ignores the context."
    )
    return [Section(title="Loss and accuracy", blocks=[Plots(svgs=svgs, caption=caption)])] if svgs else []


def _training(trained: _Lines) -> list[Section]:
    """Learning rate, gradient norm and speed."""
    figures = {"learning_rate": "learning rate", "gradient_norm": "gradient norm", "tokens_per_second": "tokens/s"}
    series = {name: _series("", trained, name) for name in figures}
    svgs = [plot([one], Axis(label="update"), Axis(label=figures[name]), name) for name, one in series.items() if one.x]
    return [Section(title="Training", blocks=[Plots(svgs=svgs, caption="")])] if svgs else []


def _series(label: str, lines: _Lines, figure: str) -> Series:
    points = [(line["step"], line[figure]) for line in lines if line.get(figure) is not None]
    return Series(label=label, x=[x for x, _ in points], y=[y for _, y in points])


def _held_out(evaluated: _Lines, figure: str) -> list[Series]:
    names = [name for name in (evaluated[-1] if evaluated else ()) if name.endswith(f"/{figure}")]
    return [_series(_part_name(name), evaluated, name) for name in names]


def _part_name(figure: str) -> str:
    """The part of the held-out text that an evaluated figure such as `wiki/masked_lm_loss` is of."""
    part = figure.partition("/")[0]
    return "held-out text" if part == "held_out" else part


def _budget(run: RunFolder) -> list[Section]:
    """What was estimated for the budget, and what it actually gave."""
    plan = read_record(run.plan, Plan, PLAN_REMEDY) if run.plan.is_file() else None
    if plan is None or plan.actual is None:
        return []
    estimated, actual = plan.estimated.figures(), plan.actual.figures()
    rows = [(name, estimated.get(name, ""), value) for name, value in actual.items()]
    return [Section(title="Budget", blocks=[Table(head=("", "estimated", "actual"), rows=rows)])]
