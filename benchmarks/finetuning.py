"""A pre-trained model against the same network from random weights, fine-tuned alike.

    python benchmarks/finetuning.py MODEL DATA --runs FOLDER [--tasks SST-2-sentences MRPC RTE] [--seeds 3]

DATA holds the benchmarks' folders (`sst2/`, `glue/MRPC/`, ...). Every task is fine-tuned from both starts with every
learning rate of `--learning-rates` and all seeds; each start is shown at the rate that is best on dev, by the mean over
its seeds. Runs go to FOLDER, so a stopped benchmark goes on where it was; the table goes to benchmarks/results.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from machine import describe_machine, write_results

from bertkit.recipes.finetune import finetune
from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.recipes.finetune_result import FinetuneResult, deviation
from bertkit.tasks.benchmarks import find_benchmark
from bertkit.tasks.classification import Classification
from bertkit.tasks.labelled_examples import LabelledExamples
from bertkit.tasks.task_data import TaskData

FOLDERS = {
    "SST-2-sentences": "sst2",
    "IMDb": "classification/imdb",
    "SICK-entailment": "nli/sick",
    "SICK-relatedness": "nli/sick",
}
"""Where DATA does not keep a task under glue/NAME."""
STARTS = {"pre-trained": False, "random weights": True}


def main() -> None:
    """Run, print and write the comparison."""
    arguments = _parse()
    rows, details = [], []
    for name in arguments.tasks:
        benchmark = find_benchmark(name)
        data = benchmark.data(arguments.data / FOLDERS.get(benchmark.name, f"glue/{benchmark.name}"))
        for start, from_random in STARTS.items():
            results = {
                rate: _finetune(arguments, data, rate, from_random=from_random) for rate in arguments.learning_rates
            }
            rate = max(results, key=lambda rate: statistics.fmean(_values(results[rate], "dev")))
            rows.append(_row(data, start, rate, results[rate]))
            details += [{"start": start, "learning_rate": rate, **result.to_json()} for rate, result in results.items()]
    machine = describe_machine("torch", "bertkit")
    command = " ".join(["python", *sys.argv])
    text = f"`{command}` on {machine}\n\n{_markdown(rows)}"
    write_results("finetuning", text, {"command": command, "machine": machine, "table": rows, "runs": details})


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a pre-trained model")
    parser.add_argument("data", type=Path, help="folder with the benchmarks")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--tasks", nargs="+", default=["SST-2-sentences", "MRPC", "RTE"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    # google-research/bert recommends 3e-4 to 3e-5 and 4 epochs for models below base.
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[1e-4, 3e-4])
    parser.add_argument("--max-length", type=int, default=128)
    return parser.parse_args()


def _finetune(arguments: argparse.Namespace, data: TaskData, rate: float, *, from_random: bool) -> FinetuneResult:
    options = FinetuneOptions(
        epochs=arguments.epochs,
        learning_rate=rate,
        max_length=arguments.max_length,
        seeds=arguments.seeds,
        from_random=from_random,
    )
    run = arguments.runs / f"{data.name}-{'random' if from_random else 'pretrained'}-{rate:g}"
    return finetune(arguments.model, data, run, options)


def _row(data: TaskData, start: str, rate: float, result: FinetuneResult) -> dict[str, Any]:
    largest = ""
    if isinstance(data.dev, LabelledExamples) and data.family is Classification:
        largest = f"{max(Counter(data.dev.labels).values()) / len(data.dev):.3f}"
    return {
        "task": data.name,
        "metric": result.select_by,
        "start": start,
        "rate": f"{rate:g}",
        "dev, mean ± sd": _mean(_values(result, "dev")),
        "test, mean ± sd": _mean(_values(result, "test")) if data.test is not None else "",
        "largest class, dev": largest,
        "s a seed": f"{statistics.fmean(seed.seconds for seed in result.seeds):.0f}",
    }


def _values(result: FinetuneResult, split: str) -> list[float]:
    return result.figures(split)[result.select_by]


def _mean(values: list[float]) -> str:
    return f"{statistics.fmean(values):.4f} ± {deviation(values):.4f}"


def _markdown(rows: list[dict[str, Any]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
