"""One pre-training step of bertkit beside Transformers' `BertForPreTraining`, in alternating processes.

    python benchmarks/training_step.py [--sizes tiny mini small base] [--rounds 2] [--steps 6] [--compiled]

Both train on rows of exactly 128 tokens (so nothing is gained from padding) with 19 masked positions a row, vocabulary
30,522, hidden dropout 0.1, gradient clipping and a fused AdamW, in bf16 where the CPU multiplies it in hardware
(Transformers under autocast) and elsewhere in float32, which has result files of its own; Transformers with sdpa
attention. bertkit keeps freed memory in its process (`tune_allocator`), which Transformers does not do by itself, so
there is a column with that for Transformers too; `--compiled` adds Transformers under torch.compile, with it as well.

The share of the matrix peak is the median over bertkit's steps: the operations/s of its matrix products, forward and
backward, over those of square products that the same process makes right before and after the step, so that both see
the machine at the same speed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from machine import describe_machine, spelled_command, write_results

ROWS = {"tiny": 32, "mini": 32, "small": 32, "base": 16}
LENGTH, MASKED, VOCABULARY = 128, 19, 30522
WARMUP_STEPS = 2
OURS = "bertkit"
PEERS = ("transformers", "transformers+allocator")
COMPILED = "transformers+allocator+compile"


def main() -> None:
    """Measure every size, or be one contender where `--contender` says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--rounds", type=int, default=2, help="times that every contender runs, in turn")
    parser.add_argument("--steps", type=int, default=6, help="measured steps of a run")
    parser.add_argument("--attention-dropout", nargs="+", type=float, default=[0.1, 0.0])
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--contender", choices=[OURS, *PEERS, COMPILED], help=argparse.SUPPRESS)
    parser.add_argument("--precision", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.precision = arguments.precision or _precision()
    if arguments.contender:
        step = _bertkit if arguments.contender == OURS else _transformers
        print(json.dumps(_measure(step, arguments)))
        return
    contenders = [OURS, *PEERS] + [COMPILED] * arguments.compiled
    figures = []
    for size in arguments.sizes:
        for dropout in arguments.attention_dropout:
            figures.append(_compare(size, dropout, contenders, arguments))
    _report(figures, contenders, arguments.precision)


def _precision() -> str:
    import torch

    from bertkit.core.devices import resolve_precision

    return resolve_precision("auto", torch.device("cpu"))


def _compare(size: str, dropout: float, contenders: list[str], arguments: argparse.Namespace) -> dict[str, object]:
    seconds: dict[str, list[float]] = defaultdict(list)
    peaks: list[float] = []
    for _ in range(arguments.rounds):
        for contender in contenders:
            command = [sys.executable, __file__, "--contender", contender, "--sizes", size]
            command += ["--attention-dropout", str(dropout), "--steps", str(arguments.steps)]
            command += ["--precision", arguments.precision]
            measured = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            seconds[contender] += measured["seconds"]
            if contender == OURS:
                peaks += measured["peaks"]
    medians = {contender: statistics.median(values) for contender, values in seconds.items()}
    print(size, dropout, {name: round(value * 1000) for name, value in medians.items()}, file=sys.stderr, flush=True)
    operations = _operations(size)
    shares = [operations / step / peak for step, peak in zip(seconds[OURS], peaks, strict=True)]
    return {
        "size": size,
        "rows": ROWS[size],
        "attention_dropout": dropout,
        "seconds": seconds,
        "median": medians,
        "operations": operations,
        "matrix_peaks": peaks,
        "share_of_matrix_peak": statistics.median(shares),
    }


def _operations(size: str) -> float:
    import torch

    from bertkit.model.config import PRESETS
    from bertkit.model.size import training_flops

    bounds = torch.arange(0, ROWS[size] * LENGTH + 1, LENGTH)
    config, masked = replace(PRESETS[size], vocab_size=VOCABULARY), ROWS[size] * MASKED
    return training_flops(config, bounds, masked_positions=masked, last_rows=masked + ROWS[size])


def _report(figures: list[dict[str, object]], contenders: list[str], precision: str) -> None:
    lines = [
        "# Pre-training step",
        "",
        f"{describe_machine('torch', 'transformers')}, {precision}. `{spelled_command(__file__, {})}`; milliseconds "
        "are medians,",
        "the factor in brackets is how many times as long as bertkit's.",
        "",
        "| size | batch | attention dropout | share of the matrix peak | " + " | ".join(contenders) + " |",
        "| --- " * (len(contenders) + 4) + "|",
    ]
    for row in figures:
        medians = row["median"]
        assert isinstance(medians, dict)
        cells = [f"{medians[OURS] * 1000:,.0f} ms"]
        cells += [f"{medians[name] * 1000:,.0f} ms ({medians[name] / medians[OURS]:.1f}x)" for name in contenders[1:]]
        lines.append(
            f"| {row['size']} | {row['rows']} x {LENGTH} | {row['attention_dropout']} | "
            f"{row['share_of_matrix_peak']:.0%} | " + " | ".join(cells) + " |"
        )
    write_results("training_step" if precision == "bf16" else "training_step_float32", "\n".join(lines), figures)


def _measure(
    make_step: Callable[[argparse.Namespace], Callable[[], None]], arguments: argparse.Namespace
) -> dict[str, list[float]]:
    import torch

    from bertkit.training.metrics import measure_matrix_peak

    step = make_step(arguments)
    for _ in range(WARMUP_STEPS):
        step()
    seconds, peaks = [], []
    before = measure_matrix_peak(torch.device("cpu"), arguments.precision)
    for _ in range(arguments.steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
        after = measure_matrix_peak(torch.device("cpu"), arguments.precision)
        peaks.append(statistics.fmean((before, after)))
        before = after
    return {"seconds": seconds, "peaks": peaks}


def _rows(size: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token ids (B, S), masked positions of each row (B, M) and next-sentence labels (B,)."""
    generator = np.random.default_rng(0)
    ids = generator.integers(1000, VOCABULARY, (ROWS[size], LENGTH))
    masked = np.stack([np.sort(generator.permutation(LENGTH - 2)[:MASKED] + 1) for _ in range(ROWS[size])])
    return ids, masked, generator.integers(0, 2, ROWS[size])


def _bertkit(arguments: argparse.Namespace) -> Callable[[], None]:
    import torch

    from bertkit.core.batch import PackedBatch
    from bertkit.core.machine import tune_allocator
    from bertkit.data.instances.batches import PretrainingBatch
    from bertkit.model.config import PRESETS
    from bertkit.model.initialization import initialize
    from bertkit.model.pretraining import PretrainingModel
    from bertkit.recipes.pretrain_objective import PretrainingObjective
    from bertkit.training.loop import accumulate_gradients
    from bertkit.training.optimizers import AdamW
    from bertkit.training.options import OptimizerOptions, TrainingOptions
    from bertkit.training.parallel import Replicas

    tune_allocator()
    size, attention_dropout = arguments.sizes[0], arguments.attention_dropout[0]
    config = replace(PRESETS[size], vocab_size=VOCABULARY, attention_probs_dropout_prob=attention_dropout)
    model = PretrainingModel(config)
    initialize(model, config.initializer_range, seed=0)
    model.train()
    options = TrainingOptions(steps=1, precision=arguments.precision, optimizer=OptimizerOptions(bias_correction=True))
    objective, optimizer = PretrainingObjective(model), AdamW(model.named_parameters(), options.optimizer)
    replicas = Replicas(objective)
    ids, masked, order = _rows(size)
    segments = np.broadcast_to(np.arange(LENGTH) >= LENGTH // 2, ids.shape)
    positions = (masked + LENGTH * np.arange(len(ids))[:, None]).ravel()
    batch = PretrainingBatch(
        PackedBatch.from_arrays(ids.ravel(), segments.ravel(), np.full(len(ids), LENGTH)),
        torch.from_numpy(positions),
        torch.from_numpy(ids.ravel()[positions]),
        torch.from_numpy(order),
    )

    def step() -> None:
        accumulate_gradients(objective, [batch], options, replicas)
        optimizer.update(1e-4, optimizer.gradient_norm())

    return step


def _transformers(arguments: argparse.Namespace) -> Callable[[], None]:
    import torch
    from transformers import BertConfig, BertForPreTraining

    from bertkit.core.machine import tune_allocator
    from bertkit.model.config import PRESETS

    size, attention_dropout, contender = arguments.sizes[0], arguments.attention_dropout[0], arguments.contender
    if "allocator" in contender:
        tune_allocator()
    preset = PRESETS[size]
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=preset.hidden_size,
        num_hidden_layers=preset.num_hidden_layers,
        num_attention_heads=preset.num_attention_heads,
        intermediate_size=preset.intermediate_size,
        attention_probs_dropout_prob=attention_dropout,
        attn_implementation="sdpa",
    )
    model = BertForPreTraining(config).train()
    forward = torch.compile(model) if "compile" in contender else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids, masked, order = _rows(size)
    labels = np.full_like(ids, -100)
    np.put_along_axis(labels, masked, np.take_along_axis(ids, masked, 1), 1)
    segments = np.broadcast_to(np.arange(LENGTH) >= LENGTH // 2, ids.shape).astype(np.int64)
    batch = {
        "input_ids": torch.from_numpy(ids),
        "token_type_ids": torch.from_numpy(segments),
        "labels": torch.from_numpy(labels),
        "next_sentence_label": torch.from_numpy(order),
    }

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bf16"):
            loss = forward(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    main()
