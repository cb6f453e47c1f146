"""Matrix products of the native engine beside oneDNN's in torch, on one core: GF/s by shape, rows and precision.

    OMP_NUM_THREADS=1 python benchmarks/native_kernels.py [--seconds 0.2]

A linear layer with its bias from float32 rows to float32 rows, in turn with torch's of the same precision: int8 counts
the quantization of the rows, bf16 their rounding. Seconds are those that the process had a core, the least of many
runs, so that other processes disturb little. Every level of instructions that the CPU has is in the table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from machine import describe_machine, write_results
from torch import nn

from bertkit.inference.backends.torch_int8 import QuantizedLinear, find_weight_range
from bertkit.inference.backends.torch_packed import PackedLinear as TorchPackedLinear
from bertkit.inference.backends.torch_packed import can_prepack
from bertkit.native.library import Kind, available_isas, find_isa, has_kind
from bertkit.native.linear import PackedLinear
from bertkit.pretrained.int8 import quantize_weight

SHAPES = ((384, 1152), (384, 1536), (1536, 384), (768, 3072), (3072, 768))
"""Inputs and outputs, of MiniLM's layers and of BERT-base's."""
ROWS = (8, 31, 128, 512)
KINDS: tuple[Kind, ...] = ("float32", "bf16", "int8")
_SAME = {("int8", "avx512"), ("int8", "avx512_bf16")}
"""Levels that have the kernel of another."""


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.2, help="of each figure")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    random, figures = np.random.default_rng(0), []
    for inputs, outputs in SHAPES:
        weight = random.standard_normal((outputs, inputs), np.float32) / np.float32(inputs**0.5)
        bias = random.standard_normal(outputs, np.float32)
        layers = _layers(weight, bias)
        for count in ROWS:
            rows = random.standard_normal((count, inputs), np.float32)
            seconds = _least_seconds({name: _bound(layer, rows) for name, layer in layers.items()}, arguments.seconds)
            rates = {name: 2e-9 * count * inputs * outputs / least for name, least in seconds.items()}
            figures.append({"inputs": inputs, "outputs": outputs, "rows": count, "gigaflops": rates})
    names = list(figures[0]["gigaflops"])
    lines = [
        "# Matrix products of the native engine",
        "",
        f"{describe_machine('torch', 'numpy')}. `OMP_NUM_THREADS=1 python benchmarks/native_kernels.py`: GF/s of one "
        "core, bias and conversion of the rows counted.",
        "",
        f"| inputs x outputs | rows | {' | '.join(names)} |",
        f"| --- | --- |{' --- |' * len(names)}",
    ]
    for each in figures:
        rates = " | ".join(f"{each['gigaflops'][name]:,.0f}" for name in names)
        lines.append(f"| {each['inputs']} x {each['outputs']} | {each['rows']} | {rates} |")
    write_results("native_kernels", "\n".join(lines), figures)


def _layers(weight: np.ndarray, bias: np.ndarray) -> dict[str, Callable[[np.ndarray], object]]:
    """Every kind of product by its name; each takes and gives float32 rows."""
    layers: dict[str, Callable[[np.ndarray], object]] = {}
    for kind in KINDS:
        for isa in available_isas():
            level = find_isa(isa)
            if has_kind(kind, level) and (kind, isa) not in _SAME:
                layers[f"{kind} {isa}"] = PackedLinear(weight, bias, kind, level)
        theirs = _torch_layer(kind, weight, bias)
        if theirs is not None:
            layers[f"{kind} torch"] = theirs
    # Of float32 there are two kernels, whatever else a level has.
    best = next(name for name in ("avx512", "avx2") if f"float32 {name}" in layers)
    return {
        name: layer
        for name, layer in layers.items()
        if not name.startswith("float32") or name in ("float32 avx2", f"float32 {best}", "float32 torch")
    }


def _torch_layer(kind: Kind, weight: np.ndarray, bias: np.ndarray) -> Callable[[np.ndarray], object] | None:
    linear = nn.Linear(*weight.shape[::-1])
    linear.weight.data, linear.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
    linear.requires_grad_(False)
    if kind == "float32":
        return lambda rows: linear(torch.from_numpy(rows))
    if kind == "bf16":
        if not can_prepack(torch.device("cpu")):
            return None
        packed = TorchPackedLinear(linear)
        return lambda rows: packed(torch.from_numpy(rows).bfloat16()).float()
    weight_range = find_weight_range()
    if weight_range is None:
        return None
    quantized = QuantizedLinear(quantize_weight(weight, weight_range), linear.bias)
    return lambda rows: quantized(torch.from_numpy(rows))


def _bound(layer: Callable[[np.ndarray], object], rows: np.ndarray) -> Callable[[], object]:
    return lambda: layer(rows)


def _least_seconds(runs: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """The least time of each, measured in turn."""
    with torch.inference_mode():
        for run in runs.values():
            run()
        least = dict.fromkeys(runs, float("inf"))
        end = time.perf_counter() + seconds * len(runs)
        while time.perf_counter() < end:
            for name, run in runs.items():
                for _ in range(3):
                    start = time.thread_time()
                    run()
                    least[name] = min(least[name], time.thread_time() - start)
    return least


if __name__ == "__main__":
    main()
