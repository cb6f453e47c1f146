"""One text at once: p50 and p99 of single sentences through bertkit's backends and the libraries in use today.

    python benchmarks/prepare_peers.py --text TEXT       # once: the models and the peers' environment
    python benchmarks/latency.py [--quick] [--peers build/peers]

Texts have exactly 8, 32, 128 and 384 tokens, special ones counted; models are MiniLM (6 layers, 384 wide) and one of
base size (12 layers, 768 wide) with random weights. Every contender is a process of its own with one thread or with as
many as the machine has cores; all of them are up at once, idle but for the one whose turn it is, and take turns, text
length by text length: A B C A B C. The same is measured with the machine quiet and beside one process that keeps a core
busy. A call starts with a string and ends with a vector. The peers are set for one text: OpenVINO with its latency
hint, ONNX Runtime with a graph from its own optimizer, both also in int8 (NNCF; dynamic). `--seconds` is the time of
one cell; a cell of few calls has no true p99, so that the number of calls is in the JSON file. `--quick` takes MiniLM,
all cores and two lengths, in about a minute; else five to six. Results go to benchmarks/results/latency_CPU.md and
.json, CPU being avx2, avx512 or amx.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoders import OURS, PEERS, Contender, Encoder, Setup
from machine import cpu_class, describe_machine, peer_versions, write_results

LENGTHS = (8, 32, 128, 384)
_LEFT_OUT = {"bertkit torch int8", "bertkit onnx int8", "bertkit openvino int8"}
"""Those that the throughput table has and this one does without, to end in time."""


@dataclass(frozen=True)
class Cell:
    """One number pair of the table."""

    model: str
    threads: int
    beside: str
    """Nothing, or a busy process."""
    contender: str
    tokens: int


def main() -> None:
    """Measure all and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=Path("build/peers"))
    parser.add_argument("--peer-python", type=Path, help="unless given, that of PEERS/environment")
    parser.add_argument("--models", nargs="+", default=["minilm", "base"])
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS))
    parser.add_argument("--only", nargs="+", default=[], help="contenders whose names hold one of these words")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.4, help="of a cell, all rounds together")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--results", help="name of the files of results, unless given latency_CPU")
    arguments = parser.parse_args()
    threads = sorted({1, os.cpu_count() or 1})
    if arguments.quick:
        arguments.models, arguments.lengths, threads = ["minilm"], [8, 32], threads[-1:]
    python = arguments.peer_python or arguments.peers / "environment" / "bin" / "python"
    chosen = [one for one in (*OURS, *PEERS) if one.precision != "bf16" or cpu_class() != "avx2"]
    chosen = [one for one in chosen if str(one) not in _LEFT_OUT and one.name != "sentence-transformers bf16"]
    chosen = [one for one in chosen if not arguments.only or any(word in str(one) for word in arguments.only)]
    calls: dict[Cell, list[float]] = {}
    failed: dict[str, str] = {}
    for model in arguments.models:
        for count in threads:
            with _started(chosen, arguments.peers / "models" / model, count, str(python), failed) as encoders:
                for beside in ("quiet", "busy"):
                    with nullcontext() if beside == "quiet" else _busy_process():
                        for name, tokens, found in _rounds(encoders, arguments):
                            calls.setdefault(Cell(model, count, beside, name, tokens), []).extend(found)
    figures = [
        {
            **cell.__dict__,
            "p50_ms": statistics.median(found),
            "p99_ms": sorted(found)[min(len(found) - 1, int(len(found) * 0.99))],
            "calls": len(found),
        }
        for cell, found in calls.items()
    ]
    versions = peer_versions(python, "sentence-transformers", "onnxruntime", "openvino", "nncf", "torch")
    machine = describe_machine("torch", "onnxruntime", "openvino")
    command = f"python benchmarks/latency.py{' --quick' * arguments.quick}"
    about = {"machine": machine, "cpu_class": cpu_class(), "command": command, "peers": versions, "failed": failed}
    text = "\n".join([*_head(about), *_tables(figures)])
    write_results(arguments.results or f"latency_{cpu_class()}", text, {**about, "cells": figures})


@contextmanager
def _started(
    contenders: Sequence[Contender], folder: Path, threads: int, peer_python: str, failed: dict[str, str]
) -> Iterator[dict[str, Encoder]]:
    """The contenders that could load the model, by name; why the others could not goes to `failed`."""
    with ExitStack() as stack:
        started: dict[str, Encoder] = {}
        for one in contenders:
            setup = Setup(name=one.name, precision=one.precision, folder=str(folder), threads=threads, is_latency=True)
            started[str(one)] = Encoder(peer_python if one.is_peer else sys.executable, setup)
            stack.callback(started[str(one)].close)
        for name in list(started):
            if (reason := started[name].ready()) is not None:
                failed[name] = reason
                del started[name]
                print(f"{name} does not run: {reason}", file=sys.stderr)
        yield started


def _rounds(encoders: dict[str, Encoder], arguments: argparse.Namespace) -> Iterator[tuple[str, int, list[float]]]:
    for number in range(arguments.rounds):
        for tokens in arguments.lengths:
            names = list(encoders)
            for name in names if number % 2 == 0 else reversed(names):
                time.sleep(0.01)  # threads of the one before that spin go to sleep
                yield name, tokens, encoders[name].ask(tokens=tokens, seconds=arguments.seconds / arguments.rounds)
        print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)


@contextmanager
def _busy_process() -> Iterator[None]:
    process = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _spin() -> None:
    while True:
        pass


def _head(about: dict[str, Any]) -> list[str]:
    lines = [
        "# One text at once",
        "",
        f"{about['machine']}; CPU class {about['cpu_class']}. `{about['command']}`. Peers: {about['peers']}.",
        "Milliseconds from a string to its vector, p50 / p99. Below each table the best of the others is compared with",
        "bertkit's best of the same precision.",
    ]
    return [*lines, *(f"Not run: {name} ({reason})." for name, reason in about["failed"].items())]


def _tables(figures: list[dict[str, Any]]) -> Iterator[str]:
    groups = dict.fromkeys((one["model"], one["threads"], one["beside"]) for one in figures)
    for model, threads, beside in groups:
        cells = [one for one in figures if (one["model"], one["threads"], one["beside"]) == (model, threads, beside)]
        lengths = list(dict.fromkeys(one["tokens"] for one in cells))
        busy = "beside a busy process" if beside == "busy" else "quiet"
        yield from ("", f"## {model}, {threads} thread{'s' * (threads > 1)}, {busy}", "")
        yield f"| | {' | '.join(f'{tokens} tokens' for tokens in lengths)} |"
        yield "| --- " * (1 + len(lengths)) + "|"
        for name in dict.fromkeys(one["contender"] for one in cells):
            row = {one["tokens"]: one for one in cells if one["contender"] == name}
            shown = [f"{row[tokens]['p50_ms']:.2f} / {row[tokens]['p99_ms']:.2f}" for tokens in lengths]
            yield f"| {name} | {' | '.join(shown)} |"
        yield ""
        for precision in ("float32", "bf16", "int8"):
            yield from _comparison(cells, lengths, precision)


def _comparison(cells: list[dict[str, Any]], lengths: list[int], precision: str) -> Iterator[str]:
    """How many times as long the best of the others takes, by length."""
    found = []
    for tokens in lengths:
        same = [one for one in cells if one["tokens"] == tokens and one["contender"].endswith(precision)]
        ours = [one for one in same if one["contender"].startswith("bertkit")]
        peers = [one for one in same if not one["contender"].startswith("bertkit")]
        if ours and peers:
            ratios = [min(p[key] for p in peers) / min(o[key] for o in ours) for key in ("p50_ms", "p99_ms")]
            found.append(f"{tokens} tokens {ratios[0]:.2f}x / {ratios[1]:.2f}x")
    if found:
        yield f"{precision}: the best of the others takes, times bertkit's best: {', '.join(found)}  "


if __name__ == "__main__":
    main()
