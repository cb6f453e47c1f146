"""Loss over the vocabulary, forward and backward: bertkit's chunks beside torch's own functions on all logits.

    python benchmarks/masked_cross_entropy.py [--positions 512 2048] [--hidden 256] [--rounds 5]

Milliseconds of both in turn, in one process that keeps freed memory, the minimum of the rounds; also in bf16 where the
CPU multiplies it in hardware. The bytes are those of the float32 logits that exist at once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from machine import describe_machine, write_results
from torch import Tensor
from torch.nn import functional as F

from bertkit.core.devices import has_fast_bf16
from bertkit.core.machine import tune_allocator
from bertkit.model.pretraining import _BLOCK_LOGITS, _chunk_rows, masked_cross_entropy

VOCABULARY = 30522
Loss = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", nargs="+", type=int, default=[512, 2048])
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    tune_allocator()
    figures = []
    lines = [
        "# Cross-entropy over the vocabulary",
        "",
        f"{describe_machine('torch')}. `python benchmarks/masked_cross_entropy.py`: vocabulary {VOCABULARY:,}, width "
        f"{arguments.hidden}, the minimum of {arguments.rounds}.",
        "",
        "| precision | positions | torch, all at once | logits | bertkit, in chunks | logits | torch / bertkit |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for low in (True, False) if has_fast_bf16(torch.device("cpu")) else (False,):
        for positions in arguments.positions:
            seconds = {whole: float("inf") for whole in (True, False)}
            for _ in range(arguments.rounds):
                for whole, best in seconds.items():
                    loss = _all_at_once if whole else masked_cross_entropy
                    seconds[whole] = min(best, _measure(loss, positions, arguments.hidden, low))
            at_once = _BLOCK_LOGITS if low else _BLOCK_LOGITS + _chunk_rows(positions, 4 * VOCABULARY) * VOCABULARY
            sizes = [4 * logits / 2**20 for logits in (positions * VOCABULARY, at_once)]
            precision = "bf16" if low else "float32"
            figures.append({"precision": precision, "positions": positions, "seconds": seconds, "mebibytes": sizes})
            whole, chunks = (1000 * seconds[kind] for kind in (True, False))
            lines.append(
                f"| {precision} | {positions:,} | {whole:.0f} ms | {sizes[0]:,.0f} MiB | {chunks:.0f} ms | "
                f"{sizes[1]:,.0f} MiB | {whole / chunks:.2f}x |"
            )
    write_results("masked_cross_entropy", "\n".join(lines), figures)


def _all_at_once(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = F.linear(hidden, weight, bias)
    return F.cross_entropy(logits.float(), labels, reduction="sum"), (logits.detach().argmax(-1) == labels).sum()


def _measure(loss: Loss, positions: int, hidden: int, low: bool) -> float:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(positions, hidden, generator=generator).requires_grad_()
    weight = (0.02 * torch.randn(VOCABULARY, hidden, generator=generator)).requires_grad_()
    bias = torch.zeros(VOCABULARY).requires_grad_()
    labels = torch.randint(VOCABULARY, (positions,), generator=generator)
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        total = loss(rows, weight, bias, labels)[0] / positions
    total.backward()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
