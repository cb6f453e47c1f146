"""Fine-tuning by Transformers' own loop and by bertkit: same data, seeds and settings, in alternating processes.

    python benchmarks/finetuning_peer.py MODEL DATA --runs FOLDER [--tasks SST-2-sentences MRPC RTE] [--seeds 3]

MODEL is the folder that both start from, DATA contains the benchmarks' folders (`sst2/`, `glue/MRPC/`, ...).
Transformers trains as its documentation says is fastest: the Trainer with dynamic padding, batches of like lengths,
sdpa and fused AdamW, and like bertkit in bf16 where the machine multiplies it in hardware. Both keep the weights of the
best epoch on dev.

"training" is the time between the first and the last step, evaluation left out; "whole job" is reading, tokenising,
training, evaluating and writing, without imports. "CPU" is the CPU time of all threads, which can be trusted on a
machine that is not idle; bertkit's includes the writing of checkpoints, which the seconds leave out. Every job writes
its figures into FOLDER, so that a stopped benchmark resumes.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark_plans import PLANS, Plan, read_planned
from machine import describe_machine, spelled_command, write_results

LIBRARIES = ("transformers", "bertkit")
_TEXT_TASKS = [name for name in PLANS if name not in ("ARC-easy", "CoNLL-2003", "SQuAD-1.1")]
_TIMES = ("training_seconds", "training_cpu_seconds", "job_seconds", "job_cpu_seconds")


def main() -> None:
    """Run all jobs that are not done and write the comparison, or be one job where `--job` says so."""
    arguments = _parse()
    if arguments.job:
        _job(arguments)
        return
    jobs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for task in arguments.tasks:
        jobs[task] = {library: [] for library in LIBRARIES}
        for seed in range(arguments.seeds):
            for library in LIBRARIES:
                jobs[task][library].append(_finished_job(arguments, task, library, seed))
        _report(jobs, arguments)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a pre-trained model")
    parser.add_argument("data", type=Path, help="folder with the benchmarks")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the jobs' figures")
    parser.add_argument("--tasks", nargs="+", default=["SST-2-sentences", "MRPC", "RTE"], choices=_TEXT_TASKS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--train-examples", type=int, help="of each task, all unless given")
    parser.add_argument("--random-batches", action="store_true", help="no batches of like lengths for Transformers")
    parser.add_argument("--job", nargs=3, metavar=("LIBRARY", "SEED", "FILE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _plan(arguments: argparse.Namespace, task: str) -> Plan:
    return replace(
        PLANS[task],
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        train_examples=arguments.train_examples or PLANS[task].train_examples,
    )


def _finished_job(arguments: argparse.Namespace, task: str, library: str, seed: int) -> dict[str, Any]:
    plan = _plan(arguments, task)
    batches = "-random-batches" if arguments.random_batches and library == "transformers" else ""
    file = arguments.runs / (
        f"{task}-{library}{batches}-{plan.train_examples or 'all'}-{plan.epochs}x{plan.batch_size}"
        f"-{arguments.learning_rate:g}-seed{seed}.json"
    )
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, __file__, str(arguments.model), str(arguments.data), "--runs", str(arguments.runs)]
        command += ["--tasks", task, "--epochs", str(plan.epochs), "--batch-size", str(plan.batch_size)]
        command += ["--learning-rate", str(arguments.learning_rate)]
        command += ["--train-examples", str(plan.train_examples)] if plan.train_examples else []
        command += ["--random-batches"] if arguments.random_batches else []
        print(f"{task}, seed {seed}, {library}", file=sys.stderr, flush=True)
        subprocess.run([*command, "--job", library, str(seed), str(file)], check=True)
    figures: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return figures


def _job(arguments: argparse.Namespace) -> None:
    library, seed, file = arguments.job
    train = {"transformers": _train_with_transformers, "bertkit": _train_with_bertkit}[library]
    figures = train(arguments, arguments.tasks[0], int(seed), Path(file).with_suffix(""))
    Path(file).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _train_with_bertkit(arguments: argparse.Namespace, task: str, seed: int, run: Path) -> dict[str, Any]:
    from bertkit.recipes import finetune_seed
    from bertkit.recipes.finetune import finetune
    from bertkit.recipes.options import FinetuneOptions

    training = 0.0
    loop = finetune_seed.train

    def clocked(*arguments: Any, evaluate: Callable[[], Any], **options: Any) -> Any:
        def evaluate_unclocked() -> Any:
            nonlocal training
            start = time.process_time()
            figures = evaluate()
            training -= time.process_time() - start
            return figures

        nonlocal training
        start = time.process_time()
        result = loop(*arguments, evaluate=evaluate_unclocked, **options)
        training += time.process_time() - start
        return result

    finetune_seed.train = clocked
    wall, cpu = time.perf_counter(), time.process_time()
    plan = _plan(arguments, task)
    options = FinetuneOptions(
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        learning_rate=arguments.learning_rate,
        max_length=plan.max_length,
        seed=seed,
    )
    result = finetune(arguments.model, read_planned(task, plan, arguments.data), run, options, resume=False)
    return {
        "selected_by": result.select_by,
        "dev": dict(result.best.dev),
        "test": None if result.best.test is None else dict(result.best.test),
        "training_seconds": result.best.seconds,
        "training_cpu_seconds": training,
        "job_seconds": time.perf_counter() - wall,
        "job_cpu_seconds": time.process_time() - cpu,
    }


def _train_with_transformers(arguments: argparse.Namespace, task: str, seed: int, run: Path) -> dict[str, Any]:
    import torch
    import transformers

    from bertkit.core.devices import default_device, has_fast_bf16
    from bertkit.tasks.metrics import CLASSIFICATION_METRICS, REGRESSION_METRICS

    class TrainingClock(transformers.TrainerCallback):  # type: ignore[misc]  # the library is not typed
        """Adds up the epochs; evaluation and saving come after an epoch's end."""

        seconds = cpu_seconds = 0.0

        def on_epoch_begin(self, *_: object, **__: object) -> None:
            self._start = time.perf_counter(), time.process_time()

        def on_epoch_end(self, *_: object, **__: object) -> None:
            self.seconds += time.perf_counter() - self._start[0]
            self.cpu_seconds += time.process_time() - self._start[1]

    wall, cpu = time.perf_counter(), time.process_time()
    plan = _plan(arguments, task)
    data = read_planned(task, plan, arguments.data)
    definition = data.task(plan.max_length)
    classes = definition.classes
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)

    def features(examples: Any) -> list[dict[str, Any]]:
        encoded = tokenizer(
            list(examples.texts),
            None if examples.text_pairs is None else list(examples.text_pairs),
            truncation=True,
            max_length=plan.max_length,
        )
        targets = definition.targets(examples.labels, examples.place).tolist()  # type: ignore[attr-defined]
        return [
            {name: encoded[name][index] for name in encoded} | {"labels": label} for index, label in enumerate(targets)
        ]

    def metrics(evaluated: Any) -> dict[str, float]:
        if classes is None:
            predictions = evaluated.predictions.squeeze(-1)
            return {name: REGRESSION_METRICS[name](predictions, evaluated.label_ids) for name in names}
        predictions = evaluated.predictions.argmax(-1)
        return {name: CLASSIFICATION_METRICS[name](predictions, evaluated.label_ids) for name in names}

    names = definition.metric_names
    device = default_device()
    options = transformers.TrainingArguments(
        output_dir=str(run),
        num_train_epochs=plan.epochs,
        per_device_train_batch_size=plan.batch_size,
        per_device_eval_batch_size=64,
        learning_rate=arguments.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=0.1,
        weight_decay=0.01,
        adam_epsilon=1e-6,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        train_sampling_strategy="random" if arguments.random_batches else "group_by_length",
        bf16=has_fast_bf16(device),
        use_cpu=device.type == "cpu",
        seed=seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_only_model=True,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model=names[0],
        greater_is_better=True,
        logging_steps=20,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=device.type == "cuda",
    )
    transformers.set_seed(seed)  # before the new head is drawn
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        arguments.model,
        num_labels=1 if classes is None else len(classes),
        attn_implementation="sdpa",
        dtype=torch.float32,
    )
    clock = TrainingClock()
    assert data.dev is not None
    trainer = transformers.Trainer(
        model,
        options,
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
        train_dataset=features(data.train),
        eval_dataset=features(data.dev),
        processing_class=tokenizer,
        compute_metrics=metrics,
        callbacks=[clock],
    )
    trainer.train()
    parts = {"dev": data.dev} | ({} if data.test is None else {"test": data.test})
    found = {name: metrics(trainer.predict(features(part))) for name, part in parts.items()}
    trainer.save_model(str(run / "model"))
    return {
        "selected_by": names[0],
        "dev": found["dev"],
        "test": found.get("test"),
        "training_seconds": clock.seconds,
        "training_cpu_seconds": clock.cpu_seconds,
        "job_seconds": time.perf_counter() - wall,
        "job_cpu_seconds": time.process_time() - cpu,
    }


def _report(jobs: dict[str, dict[str, list[dict[str, Any]]]], arguments: argparse.Namespace) -> None:
    paths = {str(arguments.model): "MODEL", str(arguments.data): "DATA", str(arguments.runs): "RUNS"}
    command = spelled_command(__file__, paths)
    machine = describe_machine("torch", "transformers", "bertkit")
    lines = [
        "# Fine-tuning beside Transformers' Trainer",
        "",
        f"`{command}` on {machine};",
        f"mean ± standard deviation of {arguments.seeds} seeds, {arguments.epochs} epochs, "
        f"batch {arguments.batch_size}, rate {arguments.learning_rate:g}.",
        "",
        "| task | part | metric | transformers | bertkit | difference | spread of both |",
        "| --- " * 7 + "|",
    ]
    for task, found in jobs.items():
        metric = found["bertkit"][0]["selected_by"]
        for part in ("dev", "test"):
            if found["bertkit"][0][part] is not None:
                theirs, ours = ([job[part][metric] for job in found[library]] for library in LIBRARIES)
                spread = math.hypot(_deviation(theirs), _deviation(ours))
                difference = statistics.fmean(ours) - statistics.fmean(theirs)
                cells = [task, part, metric, _mean(theirs), _mean(ours), f"{difference:+.4f}", f"{spread:.4f}"]
                lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Medians over the seeds, in seconds; in brackets how many times as long as bertkit's.",
        "",
        "| task | time | transformers | bertkit |",
        "| --- " * 4 + "|",
    ]
    for task, found in jobs.items():
        for name in _TIMES:
            theirs, ours = (statistics.median(job[name] for job in found[library]) for library in LIBRARIES)
            title = name.removesuffix("_seconds").replace("_", ", ").replace("job", "whole job").replace("cpu", "CPU")
            lines.append(f"| {task} | {title} | {theirs:,.0f} ({theirs / ours:.2f}x) | {ours:,.0f} |")
    write_results("finetuning_peer", "\n".join(lines), {"command": command, "machine": machine, "jobs": jobs})


def _mean(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.4f} ± {_deviation(values):.4f}"


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


if __name__ == "__main__":
    main()
