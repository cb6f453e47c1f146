"""A training step of a user's loop before and after the import line is changed, in alternating processes.

    python benchmarks/drop_in.py [--sizes tiny mini small base] [--rounds 2] [--steps 6]

Times are CPU time of all threads, so that they can be trusted on a machine that is not idle; on such a machine set
OMP_NUM_THREADS=1. The loop is the same for both: batches of sequences of 8 to 128 tokens, padded to the longest of the
batch, dropout 0.1, gradient clipping, fused AdamW. Transformers runs with sdpa. `bf16` is autocast, which pays
only on CPUs that multiply bf16 in hardware. With `+allocator` both keep freed memory in the process
(`bertkit.core.machine.tune_allocator`), which a user's loop does not do by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from typing import Any

from machine import describe_machine, write_results

SIZES = {"tiny": 32, "mini": 32, "small": 16, "base": 8}
"""Sequences in a batch."""
TASKS = {
    "masked LM": "BertForMaskedLM",
    "classification": "BertForSequenceClassification",
    "tagging": "BertForTokenClassification",
    "answers": "BertForQuestionAnswering",
}
SHORTEST, LONGEST, VOCABULARY = 8, 128, 30522
BATCHES, WARMUP_STEPS = 4, 4
LIBRARIES = ("transformers", "bertkit.hf")
ALLOCATOR = "+allocator"


def main() -> None:
    """Compare every size and task, or be one contender where `--contender` says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--tasks", nargs="+", default=["masked LM", "classification"], choices=list(TASKS))
    parser.add_argument("--rounds", type=int, default=2, help="times that every contender runs, in turn")
    parser.add_argument("--steps", type=int, default=6, help="measured steps of a run")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        print(json.dumps(_measure(arguments)))
        return
    figures = [_compare(size, task, arguments) for size in arguments.sizes for task in arguments.tasks]
    _report(figures, arguments)


def _compare(size: str, task: str, arguments: argparse.Namespace) -> dict[str, Any]:
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(arguments.rounds):
        for contender in (*LIBRARIES, *(name + ALLOCATOR for name in LIBRARIES)):
            command = [sys.executable, __file__, "--contender", contender, "--sizes", size, "--tasks", task]
            command += ["--steps", str(arguments.steps)] + ["--bf16"] * arguments.bf16
            seconds[contender] += json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    medians = {contender: statistics.median(values) for contender, values in seconds.items()}
    print(size, task, {name: round(value * 1000) for name, value in medians.items()}, file=sys.stderr, flush=True)
    return {"size": size, "task": task, "seconds": seconds, "median": medians}


def _report(figures: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    threads = f"OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']} " if "OMP_NUM_THREADS" in os.environ else ""
    lines = [
        "# Drop-in training step",
        "",
        f"{describe_machine('torch', 'transformers')}. `{threads}python benchmarks/drop_in.py"
        f"{' --bf16' * arguments.bf16}`;",
        f"CPU time, medians of {arguments.rounds} rounds of {arguments.steps} steps; in brackets how many times "
        "as long as bertkit's.",
        "",
        "| size | task | batch | transformers | bertkit.hf | transformers, allocator | bertkit.hf, allocator |",
        "| --- " * 7 + "|",
    ]
    for row in figures:
        cells = []
        for ending in ("", ALLOCATOR):
            theirs, ours = (row["median"][name + ending] for name in LIBRARIES)
            cells += [f"{theirs * 1000:,.0f} ms ({theirs / ours:.1f}x)", f"{ours * 1000:,.0f} ms"]
        lines.append(f"| {row['size']} | {row['task']} | {SIZES[row['size']]} | " + " | ".join(cells) + " |")
    write_results("drop_in", "\n".join(lines), figures)


def _measure(arguments: argparse.Namespace) -> list[float]:
    import torch
    import transformers

    import bertkit.hf
    from bertkit.core.machine import tune_allocator
    from bertkit.model.config import PRESETS

    if arguments.contender.endswith(ALLOCATOR):
        tune_allocator()
    size, task = arguments.sizes[0], arguments.tasks[0]
    preset = PRESETS[size]
    library = bertkit.hf if arguments.contender.startswith("bertkit.hf") else transformers
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=preset.hidden_size,
        num_hidden_layers=preset.num_hidden_layers,
        num_attention_heads=preset.num_attention_heads,
        intermediate_size=preset.intermediate_size,
        attn_implementation="sdpa",
    )
    model = getattr(library, TASKS[task])(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    batches = [_batch(task, SIZES[size], seed) for seed in range(BATCHES)]

    seconds = []
    for step in range(WARMUP_STEPS + arguments.steps):
        start = time.process_time()
        with torch.autocast("cpu", torch.bfloat16) if arguments.bf16 else contextlib.nullcontext():
            loss = model(**batches[step % BATCHES]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.process_time() - start)
    return seconds[WARMUP_STEPS:]


def _batch(task: str, rows: int, seed: int) -> dict[str, Any]:
    import torch

    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (rows,), generator=draw)
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.randint(1000, VOCABULARY, mask.shape, generator=draw) * mask
    batch = {"input_ids": ids, "attention_mask": mask.long(), "token_type_ids": torch.zeros_like(ids)}
    if task == "answers":
        spots = (torch.rand(2, rows, generator=draw) * lengths).long()
        return batch | {"start_positions": spots[0], "end_positions": spots[1]}
    if task == "classification":
        return batch | {"labels": torch.randint(2, (rows,), generator=draw)}
    if task == "tagging":
        return batch | {"labels": torch.randint(2, mask.shape, generator=draw).masked_fill(~mask, -100)}
    predicted = (torch.rand(mask.shape, generator=draw) < 0.15) & mask
    return batch | {"labels": ids.masked_fill(~predicted, -100)}


if __name__ == "__main__":
    main()
