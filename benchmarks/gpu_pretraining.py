"""Pre-training on one CUDA device: sequences a second and share of the matrix peak, beside Transformers.

    python benchmarks/gpu_pretraining.py [--sizes base large] [--lengths 128 512] [--steps 20] [--rounds 2]

Every contender runs in a process of its own, in turn, on rows of exactly the given length, 15 % of them masked, in bf16
with clipping and a fused AdamW, without dropout of attention. bertkit packs the rows; `bertkit+compile` is
`bertkit pretrain --compile`. Transformers has sdpa and, in `transformers+compile`, torch.compile of the whole model.
The matrix peak is measured in the same call (training/matrix_peak.py); a step's operations are those of the matrix
products that its loss needs, forward and backward, nothing counted twice, and the same for all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from machine import describe_machine, write_results

OURS, PEERS = ("bertkit", "bertkit+compile"), ("transformers", "transformers+compile")
VOCABULARY, MASK_SHARE = 30522, 0.15
TOKENS = {"base": 1 << 16, "large": 1 << 15, "mini": 1 << 17, "small": 1 << 17, "medium": 1 << 16, "tiny": 1 << 18}
"""Of one pass."""
WARMUP_STEPS = 5


def main() -> None:
    """Measure all, or be one contender where `--contender` says so."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["base", "large"], choices=list(TOKENS))
    parser.add_argument("--lengths", nargs="+", type=int, default=[128, 512])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--contender", choices=[*OURS, *PEERS], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a CUDA device")
    if arguments.contender:
        step = _bertkit if arguments.contender in OURS else _transformers
        print(
            json.dumps(_measure(step(arguments.sizes[0], arguments.lengths[0], arguments.contender), arguments.steps))
        )
        return
    from bertkit.training.metrics import measure_matrix_peak

    peak = measure_matrix_peak(torch.device("cuda"), "bf16")
    figures = [_compare(size, length, peak, arguments) for size in arguments.sizes for length in arguments.lengths]
    _report(figures, peak, torch.cuda.get_device_name())


def _compare(size: str, length: int, peak: float, arguments: argparse.Namespace) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {contender: [] for contender in (*OURS, *PEERS)}
    for _ in range(arguments.rounds):
        for contender in seconds:
            command = [sys.executable, __file__, "--contender", contender, "--sizes", size]
            command += ["--lengths", str(length), "--steps", str(arguments.steps)]
            seconds[contender] += json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    medians = {contender: statistics.median(values) for contender, values in seconds.items()}
    rows = TOKENS[size] // length
    return {
        "size": size,
        "length": length,
        "rows": rows,
        "seconds": medians,
        "sequences_per_second": {contender: rows / median for contender, median in medians.items()},
        "share_of_matrix_peak": {name: _operations(size, length) / median / peak for name, median in medians.items()},
    }


def _operations(size: str, length: int) -> float:
    import torch

    from bertkit.model.config import PRESETS
    from bertkit.model.size import training_flops

    rows = TOKENS[size] // length
    bounds = torch.arange(0, rows * length + 1, length)
    config = replace(PRESETS[size], vocab_size=VOCABULARY)
    masked = rows * round(MASK_SHARE * length)
    return training_flops(config, bounds, masked_positions=masked, last_rows=masked + rows)


def _measure(step: Callable[[], None], steps: int) -> list[float]:
    import torch

    for _ in range(WARMUP_STEPS):
        step()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    return [(time.perf_counter() - start) / steps]


def _rows(size: str, length: int) -> tuple[Any, Any]:
    """Token ids (B, S) and masked positions of each row (B, M)."""
    import numpy as np

    generator = np.random.default_rng(0)
    rows, masked = TOKENS[size] // length, round(MASK_SHARE * length)
    ids = generator.integers(1000, VOCABULARY, (rows, length))
    return ids, np.stack([np.sort(generator.permutation(length - 2)[:masked] + 1) for _ in range(rows)])


def _bertkit(size: str, length: int, contender: str) -> Callable[[], None]:
    import numpy as np
    import torch

    from bertkit.core.batch import PackedBatch
    from bertkit.core.distributed import ProcessGroup
    from bertkit.data.instances.batches import PretrainingBatch
    from bertkit.model.config import PRESETS
    from bertkit.model.initialization import initialize
    from bertkit.model.pretraining import PretrainingModel
    from bertkit.recipes.pretrain_objective import PretrainingObjective
    from bertkit.training.guard import StepGuard
    from bertkit.training.loop import accumulate_gradients
    from bertkit.training.optimizers import new_optimizer
    from bertkit.training.options import TrainingOptions
    from bertkit.training.parallel import Replicas, compile_layers

    config = replace(PRESETS[size], vocab_size=VOCABULARY, attention_probs_dropout_prob=0.0)
    model = PretrainingModel(config, next_sentence=False)
    initialize(model, config.initializer_range, seed=0)
    model.cuda().train()
    if "compile" in contender:
        compile_layers(model.bert.layers, torch.device("cuda"))
    options, objective = TrainingOptions(steps=1, precision="bf16"), PretrainingObjective(model)
    replicas, optimizer = Replicas(objective), new_optimizer(model.named_parameters(), options.optimizer)
    guard = StepGuard(ProcessGroup(), spike_deviations=6.0)
    ids, masked = _rows(size, length)
    positions = (masked + length * np.arange(len(ids))[:, None]).ravel()
    batch = PretrainingBatch(
        PackedBatch.from_arrays(ids.ravel(), np.zeros(ids.size, np.int64), np.full(len(ids), length)),
        torch.from_numpy(positions),
        torch.from_numpy(ids.ravel()[positions]),
        None,
    ).pin_memory()

    def step() -> None:
        loss = accumulate_gradients(objective, [batch], options, replicas).loss
        norm = optimizer.gradient_norm()
        optimizer.update(1e-4, norm, guard.veto(0, loss, norm))

    return step


def _transformers(size: str, length: int, contender: str) -> Callable[[], None]:
    import numpy as np
    import torch
    from transformers import BertConfig, BertForMaskedLM

    from bertkit.model.config import PRESETS

    preset = PRESETS[size]
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=preset.hidden_size,
        num_hidden_layers=preset.num_hidden_layers,
        num_attention_heads=preset.num_attention_heads,
        intermediate_size=preset.intermediate_size,
        attention_probs_dropout_prob=0.0,
        attn_implementation="sdpa",
    )
    model = BertForMaskedLM(config).cuda().train()
    forward = torch.compile(model) if "compile" in contender else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids, masked = _rows(size, length)
    labels = np.full_like(ids, -100)
    np.put_along_axis(labels, masked, np.take_along_axis(ids, masked, 1), 1)
    batch = {"input_ids": torch.from_numpy(ids).cuda(), "labels": torch.from_numpy(labels).cuda()}

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = forward(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _report(figures: list[dict[str, Any]], peak: float, device: str) -> None:
    contenders = (*OURS, *PEERS)
    lines = [
        "# Pre-training on a GPU",
        "",
        f"{device}, {describe_machine('torch', 'transformers')}. `python benchmarks/gpu_pretraining.py`; matrix peak "
        f"in bf16 {peak / 1e12:,.0f} TFLOP/s; sequences/s and share of that peak.",
        "",
        "| size | length | rows | " + " | ".join(contenders) + " |",
        "| --- " * (len(contenders) + 3) + "|",
    ]
    for row in figures:
        cells = [
            f"{row['sequences_per_second'][name]:,.0f} ({row['share_of_matrix_peak'][name]:.0%})" for name in contenders
        ]
        lines.append(f"| {row['size']} | {row['length']} | {row['rows']} | " + " | ".join(cells) + " |")
    write_results("gpu_pretraining", "\n".join(lines), figures)


if __name__ == "__main__":
    main()
