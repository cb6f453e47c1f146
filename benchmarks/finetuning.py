"""Every task by its name: pre-trained models and random weights fine-tuned alike, as one table.

    python benchmarks/finetuning.py DATA --runs FOLDER --models MiniLM=MODEL [mini=MODEL] [--random MiniLM]
        [--learning-rates 1e-4 mini=3e-4] [--tasks SST-2-sentences CoLA ...] [--seeds 3]

DATA holds the benchmarks' folders (`sst2/`, `glue/MRPC/`, ...); `benchmark_plans.py` says where, and how many epochs
and examples each gets. `--random NAME` starts a network of that model's sizes from random weights, too. A rate as
NAME=RATE is for that model and its random weights alone. A start with several rates is shown at the one that is best on
dev, by the mean over its seeds. Runs go to FOLDER, so that a stopped benchmark resumes; the table in
benchmarks/results is written after every task.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark_plans import PLANS, Plan, read_planned
from machine import describe_machine, spelled_command, write_results

from bertkit.recipes.finetune import finetune
from bertkit.recipes.finetune_result import FinetuneResult, deviation
from bertkit.recipes.options import FinetuneOptions
from bertkit.tasks.classification import Classification
from bertkit.tasks.data import TaskData
from bertkit.tasks.labelled import LabelledExamples

_USUAL = [name for name in PLANS if name not in ("SST-2", "WNLI")]


def main() -> None:
    """Run, print and write the comparison."""
    arguments = _parse()
    starts = [(name, name, False) for name in arguments.models]
    starts += [(f"random weights ({name})", name, True) for name in arguments.random]
    rows, runs = [], []
    for task in arguments.tasks:
        plan = _plan(arguments, task)
        data = read_planned(task, plan, arguments.data)
        for start, name, from_random in starts:
            results = {}
            for rate in arguments.learning_rates[name]:
                run = arguments.runs / f"{task}-{start.replace(' ', '-')}-{rate:g}"
                options = FinetuneOptions(
                    epochs=plan.epochs,
                    batch_size=plan.batch_size,
                    learning_rate=rate,
                    max_length=plan.max_length,
                    seeds=arguments.seeds,
                    from_random=from_random,
                )
                results[rate] = finetune(arguments.models[name], data, run, options)
                runs.append({"start": start, "learning_rate": rate, **results[rate].to_json()})
            rate = max(results, key=lambda rate: statistics.fmean(_values(results[rate], "dev")))
            rows.append(_row(data, plan, start, rate, results[rate]))
        _write(arguments, rows, runs)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with the benchmarks")
    parser.add_argument("--models", nargs="+", required=True, metavar="NAME=FOLDER", help="pre-trained models")
    parser.add_argument("--random", nargs="*", default=[], metavar="NAME", help="of --models")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--tasks", nargs="+", default=_USUAL, choices=list(PLANS))
    parser.add_argument("--seeds", type=int, default=3)
    # google-research/bert recommends 3e-4 to 3e-5 for models below base.
    parser.add_argument("--learning-rates", nargs="+", default=["1e-4"], metavar="[NAME=]RATE")
    parser.add_argument("--epochs", type=int, help="in place of the plan's")
    parser.add_argument("--train-examples", type=int, help="at most, in place of the plan's")
    arguments = parser.parse_args()
    named = [entry.partition("=") for entry in arguments.models]
    arguments.models = {name: Path(folder) for name, equals, folder in named if equals}
    if len(arguments.models) < len(named) or not set(arguments.random) <= set(arguments.models):
        parser.error("--models takes NAME=FOLDER, each name once, and --random such names")
    rates = [entry.rpartition("=") for entry in arguments.learning_rates]
    arguments.learning_rates = {
        name: [float(rate) for owner, _, rate in rates if owner == name]
        or [float(rate) for owner, _, rate in rates if not owner]
        for name in arguments.models
    }
    if not all(arguments.learning_rates.values()):
        parser.error("--learning-rates leaves a model without one: give a RATE for those that none is named for")
    return arguments


def _plan(arguments: argparse.Namespace, task: str) -> Plan:
    plan = PLANS[task]
    return replace(
        plan,
        epochs=arguments.epochs or plan.epochs,
        train_examples=arguments.train_examples or plan.train_examples,
    )


def _row(data: TaskData, plan: Plan, start: str, rate: float, result: FinetuneResult) -> dict[str, Any]:
    assert data.dev is not None
    largest = ""
    if isinstance(data.dev, LabelledExamples) and data.family is Classification:
        largest = f"{max(Counter(data.dev.labels).values()) / len(data.dev):.3f}"
    others = {name: values for name, values in result.figures("dev").items() if name not in (result.select_by, "loss")}
    test = "" if data.test is None else _mean(_values(result, "test"))
    return {
        "task": data.name,
        "start": start,
        "metric": result.select_by,
        "dev": _mean(_values(result, "dev")),
        "test": test,
        "also on dev": ", ".join(f"{name} {statistics.fmean(values):.4f}" for name, values in others.items()),
        "largest class, dev": largest,
        "examples: train, dev, test": ", ".join(
            f"{len(part):,}" for part in (data.train, data.dev, data.test) if part is not None
        ),
        "epochs, batch, rate": f"{plan.epochs}, {plan.batch_size}, {rate:g}",
        "s a seed": f"{statistics.fmean(seed.seconds for seed in result.seeds):.0f}",
    }


def _write(arguments: argparse.Namespace, rows: list[dict[str, Any]], runs: list[dict[str, Any]]) -> None:
    paths = {str(arguments.data): "DATA", str(arguments.runs): "RUNS"}
    paths |= {f"{name}={folder}": f"{name}=MODEL" for name, folder in arguments.models.items()}
    command, machine = spelled_command(__file__, paths), describe_machine("torch", "bertkit")
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    text = f"`{command}` on {machine}; mean ± standard deviation over the seeds\n\n{table}"
    write_results("finetuning", text, {"command": command, "machine": machine, "table": rows, "runs": runs})


def _values(result: FinetuneResult, split: str) -> list[float]:
    return result.figures(split)[result.select_by]


def _mean(values: list[float]) -> str:
    spread = f" ± {deviation(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4f}{spread}"


if __name__ == "__main__":
    main()
