"""Loss over the vocabulary, forward and backward, with all logits at once and in chunks.

    python benchmarks/masked_cross_entropy.py [--positions 512 2048] [--hidden 256] [--rounds 3]

Processor seconds of this process, in turn, the least of the rounds; and the bytes of float32 logits that exist at once.
"""

from __future__ import annotations

import argparse
import time

import torch
from machine import describe_machine, write_results

from bertkit.foundation.allocator import tune_allocator
from bertkit.model import masked_cross_entropy as module

VOCABULARY = 30522


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", nargs="+", type=int, default=[512, 2048])
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    tune_allocator()
    figures = []
    lines = [
        "# Cross-entropy over the vocabulary",
        "",
        f"{describe_machine('torch')}. `python benchmarks/masked_cross_entropy.py`: vocabulary {VOCABULARY:,}, width "
        f"{arguments.hidden}, float32, processor seconds, the least of {arguments.rounds}.",
        "",
        "| positions | all at once | logits | in chunks | logits |",
        "| --- | --- | --- | --- | --- |",
    ]
    for positions in arguments.positions:
        seconds = {whole: float("inf") for whole in (True, False)}
        for _ in range(arguments.rounds):
            for whole, best in seconds.items():
                seconds[whole] = min(best, _measure(positions, arguments.hidden, whole))
        chunk = module._chunk_rows(VOCABULARY)
        sizes = [4 * VOCABULARY * rows / 2**20 for rows in (positions, chunk)]
        figures.append({"positions": positions, "whole": seconds[True], "chunks": seconds[False], "mebibytes": sizes})
        lines.append(
            f"| {positions:,} | {seconds[True]:.2f} s | {sizes[0]:,.0f} MiB | {seconds[False]:.2f} s | "
            f"{sizes[1]:,.0f} MiB |"
        )
    write_results("masked_cross_entropy", "\n".join(lines), figures)


def _measure(positions: int, hidden: int, whole: bool) -> float:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(positions, hidden, generator=generator).requires_grad_()
    weight = (0.02 * torch.randn(VOCABULARY, hidden, generator=generator)).requires_grad_()
    bias = torch.zeros(VOCABULARY).requires_grad_()
    labels = torch.randint(VOCABULARY, (positions,), generator=generator)
    module._LARGEST_WHOLE = positions * VOCABULARY if whole else 0
    start = time.process_time()
    (module.masked_cross_entropy(rows, weight, bias, labels)[0] / positions).backward()
    return time.process_time() - start


if __name__ == "__main__":
    main()
