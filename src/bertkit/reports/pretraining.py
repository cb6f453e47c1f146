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
from bertkit.core.files import read_json
from bertkit.recipes.estimate import RunOutcome
from bertkit.reports.page import Commands, Fact, Plots, Report, Section, Table, settings_section, write_report
from bertkit.reports.plots import Axis, Series, plot
from bertkit.training.run_folder import RunFolder

_Lines = Sequence[Mapping[str, Any]]


def write_pretraining_report(run: RunFolder) -> Path:
    """Write `run.report` from what a finished run has left in its folder."""
    write_report(run.report, pretraining_page(run))
    return run.report


def pretraining_page(run: RunFolder) -> Report:
    """Lay out what was learnt on held-out text, how training went, and what it cost."""
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
        notice=_left_out(trained),
        facts=_facts(trained, evaluated),
        sections=[
            *_learnt(trained, evaluated, _unigram_entropy(run)),
            *_course(trained),
            *_outcome(run),
            Section(title="What to type next", blocks=[Commands(text=commands)]),
            settings_section(config),
        ],
        footer="Written by `bertkit pretrain`. All figures are in `metrics.jsonl`, and in `tensorboard/`.",
    )


def _unigram_entropy(run: RunFolder) -> float | None:
    if not run.baselines.is_file():
        return None
    entropy: float = read_json(run.baselines)["baselines"]["unigram_entropy"]
    return entropy


def _left_out(trained: _Lines) -> str:
    """How many updates were not made, where there are such."""
    names = {"steps_not_finite": "a loss or gradients that are not finite", "steps_spiked": "a spike"}
    counts = {name: trained[-1].get(name, 0) if trained else 0 for name in names}
    return " ".join(f"Updates left out for {names[name]}: {count:,}." for name, count in counts.items() if count)


def _facts(trained: _Lines, evaluated: _Lines) -> list[Fact]:
    facts = []
    if evaluated:
        for name, loss in evaluated[-1].items():
            if name.endswith("/masked_lm_loss") and loss is not None:
                facts.append(Fact(value=f"{math.exp(loss):,.1f}", label=f"perplexity, {name.partition('/')[0]}"))
        facts.append(Fact(value=format_duration(evaluated[-1]["wall_seconds"]), label="from start to end"))
    if trained:
        facts.append(Fact(value=f"{trained[-1]['step']:,}", label="updates"))
    if speeds := [line["tokens_per_second"] for line in trained if line.get("tokens_per_second")]:
        facts.append(Fact(value=f"{statistics.median(speeds):,.0f}", label="tokens/s"))
    if shares := [line["share_of_matrix_peak"] for line in trained if line.get("share_of_matrix_peak")]:
        facts.append(Fact(value=f"{statistics.median(shares):.0%}", label="of the matrix peak"))
    return facts


def _learnt(trained: _Lines, evaluated: _Lines, entropy: float | None) -> list[Section]:
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
        "Training masks as the run's options say and uses its dropout, held-out text is masked as in the paper, so the "
        "lines are not on one scale. At the unigram entropy a model guesses by frequency, without context."
    )
    return [Section(title="What was learnt", blocks=[Plots(svgs=svgs, caption=caption)])] if svgs else []


def _course(trained: _Lines) -> list[Section]:
    """Rate, gradients and speed."""
    figures = {"learning_rate": "learning rate", "gradient_norm": "gradient norm", "tokens_per_second": "tokens/s"}
    series = {name: _series("", trained, name) for name in figures}
    svgs = [plot([one], Axis(label="update"), Axis(label=figures[name]), name) for name, one in series.items() if one.x]
    return [Section(title="Training", blocks=[Plots(svgs=svgs, caption="")])] if svgs else []


def _series(label: str, lines: _Lines, figure: str) -> Series:
    points = [(line["step"], line[figure]) for line in lines if line.get(figure) is not None]
    return Series(label=label, x=[x for x, _ in points], y=[y for _, y in points])


def _held_out(evaluated: _Lines, figure: str) -> list[Series]:
    parts = [name.partition("/")[0] for name in (evaluated[-1] if evaluated else ()) if name.endswith(f"/{figure}")]
    return [_series(part, evaluated, f"{part}/{figure}") for part in parts]


def _outcome(run: RunFolder) -> list[Section]:
    """What a budget was to come to, and came to."""
    plan = read_json(run.plan) if run.plan.is_file() else {}
    if "actual" not in plan:
        return []
    estimated, actual = (RunOutcome(**plan[name]).figures() for name in ("estimated", "actual"))
    rows = [(name, estimated.get(name, ""), value) for name, value in actual.items()]
    return [Section(title="The budget", blocks=[Table(head=("", "estimated", "actual"), rows=rows)])]
