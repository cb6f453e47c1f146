"""Many sentences: bertkit's backends and precisions against sentence-transformers, OpenVINO and ONNX Runtime.

    python benchmarks/prepare_peers.py --text TEXT       # once: the models and the peers' environment
    python benchmarks/embedding.py --text TEXT [--quick] [--peers build/peers]

Takes `--count` lines of TEXT (a line is a sentence), evenly spaced, and MiniLM. Every contender is a process of its own
that loads the model, warms up and then embeds all sentences whenever it is its turn: A B C A B C. The first round tries
each contender's settings, the following ones measure the best. All cores are used. The peers' processes keep freed
memory (glibc's environment variables say so), as `bertkit.load` does by itself. OpenVINO has pooling and normalisation
in its graph, batches sorted by length and filled to a budget of tokens, and an asynchronous queue over its streams;
int8 is NNCF's, calibrated on 300 sentences. ONNX Runtime has the graph of its own optimizer, int8 is dynamic. Cosines
are to sentence-transformers' float32 vectors (bertkit's own where there is no peer). Takes three to five minutes,
`--quick` one. Where the CPU does not multiply bf16 in hardware, which would slow down the peers, bf16 is left out.
Results go to benchmarks/results/embedding_CPU.md and .json, CPU being avx2, avx512 or amx.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from encoders import OURS, PEERS, Contender, Encoder, Setup
from machine import cpu_class, describe_machine, peer_versions, write_results

WARM_UP = 256


@dataclass
class Trial:
    """A contender with a setting, and what it took so far."""

    contender: Contender
    setting: str
    setup: Setup
    vectors: Path
    encoder: Encoder | None = None
    found: list[dict[str, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(one["seconds"] for one in self.found)


def main() -> None:
    """Measure all and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="file with a sentence a line")
    parser.add_argument("--peers", type=Path, default=Path("build/peers"))
    parser.add_argument("--peer-python", type=Path, help="unless given, that of PEERS/environment")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[], help="contenders whose names hold one of these words")
    parser.add_argument("--quick", action="store_true", help="600 sentences, two rounds")
    parser.add_argument("--results", help="name of the files of results, unless given embedding_CPU")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.count, arguments.rounds = 600, 2
    python = arguments.peer_python or arguments.peers / "environment" / "bin" / "python"
    sentences = read_sentences(arguments.text, arguments.count)
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "texts.json"
        texts.write_text(json.dumps(sentences), encoding="utf-8")
        trials = _trials(arguments, Path(folder))
        kept: list[Trial] = []
        for contender in dict.fromkeys(trial.contender for trial in trials):
            best = _best_setting([one for one in trials if one.contender == contender], texts, str(python), failed)
            if best is not None:
                kept.append(best)
        for number in range(1, arguments.rounds):
            for trial in kept if number % 2 else reversed(kept):
                _run(trial, texts)
        for trial in kept:
            assert trial.encoder is not None
            trial.encoder.close()
        rows = _rows(kept, len(sentences))
    versions = peer_versions(python, "sentence-transformers", "onnxruntime", "openvino", "nncf", "torch")
    machine = describe_machine("torch", "onnxruntime", "openvino")
    command = f"python benchmarks/embedding.py --text {arguments.text.name}{' --quick' * arguments.quick}"
    about = {"machine": machine, "cpu_class": cpu_class(), "command": command, "peers": versions, "failed": failed}
    where = f"{machine}; CPU class {cpu_class()}. Peers: {versions}"
    head = f"`{command}` on {where}. {len(sentences):,} lines, MiniLM-L6-H384"
    skipped = [f"Not run: {name} ({reason})." for name, reason in failed.items()]
    text = "\n".join([head, "", *_markdown(rows), *skipped])
    write_results(arguments.results or f"embedding_{cpu_class()}", text, {**about, "rows": rows})


def read_sentences(path: Path, count: int) -> list[str]:
    """`count` non-empty lines, evenly spaced."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [lines[index * len(lines) // count] for index in range(count)] if len(lines) > count else lines


def _trials(arguments: argparse.Namespace, folder: Path) -> list[Trial]:
    cores = os.cpu_count() or 1
    found = []
    for one in (*OURS, *PEERS):
        if (one.precision == "bf16" and cpu_class() == "avx2") or (
            arguments.only and not any(word in str(one) for word in arguments.only)
        ):
            continue
        settings: list[dict[str, int]] = [{}]
        if one.name.startswith("sentence-transformers"):
            settings = [{"batch_size": 32}, {"batch_size": 64}]
        elif one.name == "openvino":
            settings = [{"streams": streams} for streams in sorted({1, max(1, cores // 2), cores})]
        for setting in settings:
            setup = Setup(
                name=one.name,
                precision=one.precision,
                folder=str(arguments.peers / "models" / "minilm"),
                threads=cores,
                is_latency=False,
                **setting,
            )
            words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in setting.items())
            found.append(Trial(one, words, setup, folder / f"{one} {words}.npy"))
    return found


def _best_setting(trials: list[Trial], texts: Path, peer_python: str, failed: dict[str, str]) -> Trial | None:
    """Run each setting once and keep the fastest's process; None where the contender does not run."""
    best: Trial | None = None
    for trial in trials:
        trial.encoder = Encoder(peer_python if trial.contender.is_peer else sys.executable, trial.setup)
        if (reason := trial.encoder.ready()) is not None:
            failed[str(trial.contender)] = reason
            print(f"{trial.contender} does not run: {reason}", file=sys.stderr)
            continue
        _run(trial, texts)
        loser = trial if best is not None and best.seconds <= trial.seconds else best
        best = trial if loser is not trial else best
        if loser is not None and loser.encoder is not None:
            loser.encoder.close()
    return best


def _run(trial: Trial, texts: Path) -> None:
    assert trial.encoder is not None
    found = trial.encoder.ask(texts=str(texts), vectors=str(trial.vectors), warm_up=WARM_UP)
    trial.found.append(found)
    print(trial.contender, trial.setting, found, file=sys.stderr, flush=True)


def _rows(trials: list[Trial], count: int) -> list[dict[str, Any]]:
    named = {str(trial.contender): trial for trial in trials}
    references = [
        named[name] for name in ("sentence-transformers torch float32", "bertkit torch float32") if name in named
    ]
    exact = np.load((references or trials)[0].vectors)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    rows = []
    for trial in trials:
        vectors = np.load(trial.vectors)
        cosines = (vectors * exact).sum(1) / np.linalg.norm(vectors, axis=1)
        rows.append(
            {
                "name": trial.contender.name,
                "precision": trial.contender.precision,
                "is_peer": trial.contender.is_peer,
                "setting": trial.setting,
                "sentences_per_second": count / trial.seconds,
                "cpu_seconds": statistics.median(one["cpu_seconds"] for one in trial.found),
                "cosine_mean": float(cosines.mean()),
                "cosine_min": float(cosines.min()),
                "seconds": [one["seconds"] for one in trial.found],
            }
        )
    return rows


def _markdown(rows: list[dict[str, Any]]) -> list[str]:
    """Ratios are of bertkit's best in the same precision to the row."""
    lines = [
        "| | precision | setting | sentences/s | bertkit's best is | CPU s | mean cosine | least cosine |",
        "| --- " * 8 + "|",
    ]
    for row in rows:
        same = [one for one in rows if not one["is_peer"] and one["precision"] == row["precision"]]
        ratio = ""
        if same:
            ratio = f"{max(one['sentences_per_second'] for one in same) / row['sentences_per_second']:.2f}x"
        lines.append(
            f"| {row['name']} | {row['precision']} | {row['setting']} | {row['sentences_per_second']:.0f} | {ratio} "
            f"| {row['cpu_seconds']:.1f} | {row['cosine_mean']:.5f} | {row['cosine_min']:.5f} |"
        )
    return [*lines, "", *_ratios(rows)]


def _ratios(rows: list[dict[str, Any]]) -> list[str]:
    """Bertkit's best in a precision over the named row of the peers."""
    found = []
    for ours, theirs, precision in (
        ("int8", "openvino", "int8"),
        ("int8", "sentence-transformers torch", "bf16"),
        ("int8", "sentence-transformers torch", "float32"),
        ("bf16", "openvino", "bf16"),
        ("float32", "openvino", "float32"),
        ("float32", "sentence-transformers torch", "float32"),
    ):
        mine = [one["sentences_per_second"] for one in rows if not one["is_peer"] and one["precision"] == ours]
        peer = [one["sentences_per_second"] for one in rows if (one["name"], one["precision"]) == (theirs, precision)]
        if mine and peer:
            found.append(f"bertkit {ours} / {theirs} {precision}: {max(mine) / max(peer):.2f}x  ")
    return found


if __name__ == "__main__":
    main()
