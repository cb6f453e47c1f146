"""Masked-LM pre-training in the same minutes: Transformers' own loop beside bertkit's `budget` recipe.

    python benchmarks/time_to_quality.py DATA --held-out WIKIPEDIA BOOKS --sst2 SST2 --work WORK [--minutes 20]

DATA and the held-out folders are what `bertkit prepare` wrote, SST2 is the benchmark's folder. Both train one model of
the same size on the same tokens with the same vocabulary, and stop when the minutes are over. Transformers runs the
Trainer with DataCollatorForLanguageModeling on full sequences (nothing is padded), with sdpa, fused AdamW and a rate
that rises and falls within the time; batch, rate, initial deviation, dropout and share of masked tokens are what won
here on little text (docs/results.md), and it keeps freed memory as bertkit does. Its clock starts with the Trainer,
bertkit's with the command: opening the data, counting words and every evaluation on the way are in its minutes.

Both run at the same time, each bound to one core, so that a machine whose speed changes is as slow for one as for the
other. A second run of bertkit, which has a fifth of the time, follows. All models are measured on the same held-out
sequences with the same masks and fine-tuned alike by bertkit, each at the one of some learning rates that is best on
dev (as in Devlin et al. 2019, appendix A.3). Work that is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from machine import describe_machine, spelled_command, write_results

OURS, SHORT, PEER = "bertkit", "bertkit, short", "transformers"
LENGTH = 128
WARMUP_SHARE = 0.06


def main() -> None:
    """Run and measure all, or be the peer where `--peer` says so."""
    arguments = _parse()
    if arguments.peer:
        _train_peer(arguments)
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    runs = {
        OURS: lambda core: _train_ours(arguments, "ours", arguments.minutes, core),
        PEER: lambda core: _started_peer(arguments, core),
        SHORT: lambda core: _train_ours(arguments, "short", arguments.minutes / 5, core),
    }
    cores: queue.SimpleQueue[int] = queue.SimpleQueue()
    for core in os.sched_getaffinity(0):
        cores.put(core)

    def trained_and_finetuned(name: str) -> Path:
        core = cores.get()
        try:
            run = runs[name](core)
            _finetune(arguments, run, core)
        finally:
            cores.put(core)
        return run

    with ThreadPoolExecutor(cores.qsize()) as pool:
        models = dict(zip(runs, pool.map(trained_and_finetuned, runs), strict=True))
    rows = [{"name": name, **_measured(arguments, run)} for name, run in models.items()]
    _report(arguments, rows)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="prepared corpus")
    parser.add_argument("--held-out", type=Path, nargs="+", required=True, help="prepared corpora to measure on")
    parser.add_argument("--sst2", type=Path, required=True, help="folder of the sentences of SST-2")
    parser.add_argument("--work", type=Path, required=True, help="folder for runs and figures")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--seeds", type=int, default=3, help="of fine-tuning")
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[3e-4, 1e-3], help="of fine-tuning")
    parser.add_argument("--sequences", type=int, default=1024, help="of each held-out corpus")
    parser.add_argument(
        "--evaluate-every", type=int, default=300, help="steps between bertkit's evaluations on the way"
    )
    parser.add_argument("--peer-batch-size", type=int, default=8)
    parser.add_argument("--peer-learning-rate", type=float, default=1e-3)
    parser.add_argument("--peer-mask-share", type=float, default=0.3)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run_on(core: int, *command: object) -> None:
    subprocess.run([sys.executable, *map(str, command)], check=True, preexec_fn=lambda: os.sched_setaffinity(0, {core}))


def _bertkit(core: int, *arguments: object) -> None:
    _run_on(core, "-c", "from bertkit.cli.main import main; main()", *arguments)


def _train_ours(arguments: argparse.Namespace, name: str, minutes: float, core: int) -> Path:
    run: Path = arguments.work / name
    start = time.perf_counter()
    if not (run / "model").is_dir():
        command = ["pretrain", arguments.data, "--preset", arguments.preset, "--recipe", "budget", "--out", run]
        command += ["--budget", f"{60 * minutes}s", "--evaluate-every", arguments.evaluate_every]
        command += ["--evaluation-sequences", 128, "--log-every", 50]
        _bertkit(core, *command, *(part for path in arguments.held_out for part in ("--held-out", path)))
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        tokens = json.loads((run / "plan.json").read_text(encoding="utf-8"))["actual"]["tokens"]
        curve = [(line["wall_seconds"], _mean_loss(line)) for line in lines if line["kind"] == "evaluation"]
        figures = {"minutes": minutes, "wall_seconds": time.perf_counter() - start, "tokens": tokens, "curve": curve}
        (run / "figures.json").write_text(json.dumps(figures), encoding="utf-8")
    return run


def _mean_loss(line: dict[str, Any]) -> float:
    return statistics.fmean(value for name, value in line.items() if name.endswith("/masked_lm_loss"))


def _started_peer(arguments: argparse.Namespace, core: int) -> Path:
    run: Path = arguments.work / "transformers"
    if not (run / "model").is_dir():
        _run_on(core, __file__, *sys.argv[1:], "--peer")
    return run


def _finetune(arguments: argparse.Namespace, run: Path, core: int) -> None:
    settings = ["--hidden-dropout", 0.1, "--epochs", 3, "--seeds", arguments.seeds]
    task = ["--task", "sst2-sentences", "--data", arguments.sst2]
    for rate, out in _finetuned(arguments, run).items():
        if not (out / "results.json").is_file():
            _bertkit(core, "finetune", run / "model", *task, *settings, "--learning-rate", rate, "--out", out)


def _finetuned(arguments: argparse.Namespace, run: Path) -> dict[float, Path]:
    """Run folders by learning rate."""
    return {rate: run / f"sst2-{rate:g}" for rate in arguments.learning_rates}


def _train_peer(arguments: argparse.Namespace) -> None:
    """Transformers' loop until the time is over."""
    import numpy as np
    import torch
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import (
        AutoTokenizer,
        BertConfig,
        BertForMaskedLM,
        DataCollatorForLanguageModeling,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        set_seed,
    )

    from bertkit.core.devices import default_device, has_fast_bf16
    from bertkit.core.machine import tune_allocator
    from bertkit.data.corpus.prepared import PreparedCorpus
    from bertkit.model.config import PRESETS

    tune_allocator()
    set_seed(0)
    run: Path = arguments.work / "transformers"
    corpus, size = PreparedCorpus.open(arguments.data), PRESETS[arguments.preset]
    corpus.tokenizer.save_pretrained(run / "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(run / "tokenizer")
    inner = LENGTH - 2

    class Sequences(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return corpus.num_tokens // inner

        def __getitem__(self, index: int) -> dict[str, Any]:
            tokens = corpus.tokens(index * inner, (index + 1) * inner)
            ids = np.concatenate([[tokenizer.cls_token_id], tokens, [tokenizer.sep_token_id]])
            return {"input_ids": ids, "special_tokens_mask": np.arange(LENGTH) % (LENGTH - 1) == 0}

    model = BertForMaskedLM(
        BertConfig(
            vocab_size=corpus.vocab_size,
            hidden_size=size.hidden_size,
            num_hidden_layers=size.num_hidden_layers,
            num_attention_heads=size.num_attention_heads,
            intermediate_size=size.intermediate_size,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            initializer_range=0.05,
            attn_implementation="sdpa",
        )
    )
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
        lr=arguments.peer_learning_rate,
        betas=(0.9, 0.98),
        eps=1e-6,
        fused=True,
    )
    started: list[float] = []

    def share() -> float:
        return (time.perf_counter() - started[0]) / (60 * arguments.minutes) if started else 0.0

    class Clock(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            started.append(time.perf_counter())

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop = share() >= 1

    schedule = LambdaLR(optimizer, lambda _: min(share() / WARMUP_SHARE, max(0.0, (1 - share()) / (1 - WARMUP_SHARE))))
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(run / "trainer"),
            per_device_train_batch_size=arguments.peer_batch_size,
            max_steps=10**7,
            bf16=has_fast_bf16(default_device()),
            use_cpu=default_device().type == "cpu",
            save_strategy="no",
            logging_steps=200,
            report_to="none",
            disable_tqdm=True,
        ),
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm_probability=arguments.peer_mask_share),
        train_dataset=Sequences(),
        optimizers=(optimizer, schedule),
        callbacks=[Clock()],
    )
    trainer.train()
    seconds = time.perf_counter() - started[0]
    tokens = trainer.state.global_step * arguments.peer_batch_size * LENGTH
    model.save_pretrained(run / "model")
    corpus.tokenizer.save_pretrained(run / "model")
    figures = {"minutes": arguments.minutes, "wall_seconds": seconds, "tokens": tokens, "curve": []}
    (run / "figures.json").write_text(json.dumps(figures), encoding="utf-8")


def _measured(arguments: argparse.Namespace, run: Path) -> dict[str, Any]:
    """The figures of a run, with its model's on held-out text and on SST-2."""
    figures: dict[str, Any] = json.loads((run / "figures.json").read_text(encoding="utf-8"))
    if "held_out" not in figures:
        figures["held_out"] = _held_out_losses(arguments, run / "model")
        (run / "figures.json").write_text(json.dumps(figures), encoding="utf-8")
    found = {
        rate: {split: measured["accuracy"] for split, measured in _results(out).items()}
        for rate, out in _finetuned(arguments, run).items()
    }
    rate = max(found, key=lambda rate: found[rate]["dev"]["mean"])
    return {**figures, "learning_rate": rate, "sst2": found[rate], "sst2_by_learning_rate": found}


def _results(out: Path) -> dict[str, dict[str, dict[str, float]]]:
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return {split: results[split] for split in ("dev", "test")}


def _held_out_losses(arguments: argparse.Namespace, model: Path) -> dict[str, float]:
    """Masked-LM loss by held-out corpus, 15 % masked as in the paper."""
    import torch

    from bertkit.core.distributed import ProcessGroup
    from bertkit.data.corpus.prepared import PreparedCorpus
    from bertkit.data.instances.drawn import DrawnInstances
    from bertkit.data.instances.loader import evaluation_batches
    from bertkit.data.instances.options import InstanceOptions, MaskingOptions
    from bertkit.model.pretraining import PretrainingModel
    from bertkit.pretrained.folder import ModelFolder
    from bertkit.recipes.pretrain_objective import PretrainingObjective
    from bertkit.training.step import StepFigures

    folder = ModelFolder.open(model)
    module = PretrainingModel(folder.config, next_sentence=False)
    folder.load_into(module, may_lack=("bert.pooler.",))
    objective = PretrainingObjective(module.eval())
    losses = {}
    for path in arguments.held_out:
        instances = InstanceOptions(seq_length=LENGTH, next_sentence=False)
        source = DrawnInstances(PreparedCorpus.open(path), instances, MaskingOptions(), seed=1, purpose="benchmark")
        figures = StepFigures(objective)
        with torch.no_grad():
            for batch in evaluation_batches(source, micro_batch_tokens=4096, seed=1, max_sequences=arguments.sequences):
                figures.add(batch, objective.terms(batch, objective.outputs(batch)))
        losses[path.name] = figures.take(ProcessGroup())["masked_lm_loss"]
    return losses


def _report(arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    from bertkit.core.console import counted

    peer_loss = next(statistics.fmean(row["held_out"].values()) for row in rows if row["name"] == PEER)
    parts, rates = list(rows[0]["held_out"]), arguments.learning_rates
    folders = [arguments.data, *arguments.held_out, arguments.sst2, arguments.work]
    command = spelled_command(__file__, {str(folder): folder.name for folder in folders})
    lines = [
        "# Time to quality",
        "",
        f"{describe_machine('torch', 'transformers')}. `{command}`: preset {arguments.preset},",
        f"Transformers with batches of {arguments.peer_batch_size} x {LENGTH}, rate {arguments.peer_learning_rate:g}, "
        f"{arguments.peer_mask_share:.0%} masked in training;",
        f"held-out losses over {arguments.sequences:,} sequences each, 15 % masked; accuracy on SST-2's sentences over "
        f"{counted(arguments.seeds, 'seed')}, at that learning rate of "
        f"{', '.join(f'{rate:g}' for rate in rates)} that is best on dev.",
        "",
        "| | minutes | tokens seen | " + " | ".join(f"{part} loss" for part in parts) + " | SST-2 rate | dev | test |",
        "| --- " * (len(parts) + 6) + "|",
    ]
    for row in rows:
        cells = [f"{row['minutes']:g}", f"{row['tokens'] / 1e6:.2f} M"]
        cells += [f"{row['held_out'][part]:.3f}" for part in parts]
        cells += [f"{row['learning_rate']:g}"]
        cells += [_spread(row["sst2"][split]) for split in ("dev", "test")]
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    lines += ["", f"Transformers' mean held-out loss in the end, {peer_loss:.3f}, is reached by bertkit:", ""]
    for row in rows:
        if row["name"] != PEER:
            at = next((seconds / 60 for seconds, loss in row["curve"] if loss <= peer_loss), None)
            end = "not" if at is None else f"after {at:.1f} minutes"
            lines.append(
                f"- in the run of {row['minutes']:g} minutes: {end} (as measured on the way, on 128 sequences)"
            )
    write_results("time_to_quality", "\n".join(lines), rows)


def _spread(metric: dict[str, float]) -> str:
    return f"{metric['mean']:.4f} ± {metric['standard_deviation']:.4f}"


if __name__ == "__main__":
    main()
