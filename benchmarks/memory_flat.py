"""Memory that does not grow: 100,000 single texts of random length, and 1,000,000 lines through `embed`, by backend.

    python benchmarks/memory_flat.py [--backends native onnx openvino torch] [--texts 100000] [--lines 1000000]

The model has two layers of width 128 and random weights, made in place, so that a backend takes one to three minutes on
two cores. Every backend runs in processes of its own: one embeds single texts of 1 to 400 words, each of another length
than the one before; the other is the command `bertkit embed`, which reads the lines of a file (1 to 12 words) and
writes an .npy file. The process's resident memory is sampled as it goes: what counts is the growth from a tenth of the
way to the end. Results go to benchmarks/results/memory_flat_CPU.md and .json, CPU being avx2, avx512 or amx.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import cpu_class, describe_machine, write_results

BACKENDS = ("native", "onnx", "openvino", "torch")
SAMPLES = 100
_MOST_WORDS = 400
_LINE_WORDS = 12
_SYLLABLES = ("ba", "de", "fi", "go", "ku", "la", "me", "ni", "po", "ru")
_WORDS = [first + second + third for first in _SYLLABLES for second in _SYLLABLES for third in _SYLLABLES]


def main() -> None:
    """Measure every backend, or be one process where `--single` says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS), choices=BACKENDS)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--single", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--results", help="name of the files of results, unless given memory_flat_CPU")
    arguments = parser.parse_args()
    if arguments.single is not None:
        print(json.dumps(_single_texts(arguments)))
        return
    curves = []
    with tempfile.TemporaryDirectory() as folder:
        model, lines = Path(folder) / "model", Path(folder) / "lines.txt"
        _write_model(model)
        _write_lines(lines, arguments.lines)
        for backend in arguments.backends:
            for name, run in (("single texts", _run_single), ("lines", _run_lines)):
                start = time.perf_counter()
                samples = run(backend, model, lines, arguments)
                curves.append(_curve(backend, name, samples, time.perf_counter() - start))
                print(curves[-1] | {"mb": "..."}, file=sys.stderr, flush=True)
    machine = describe_machine("torch", "onnxruntime", "openvino")
    command = "python benchmarks/memory_flat.py"
    if (arguments.texts, arguments.lines) != (100_000, 1_000_000):
        command += f" --texts {arguments.texts} --lines {arguments.lines}"
    text = "\n".join([*_head(machine, command, arguments), *map(_row, curves)])
    figures = {"machine": machine, "cpu_class": cpu_class(), "command": command, "curves": curves}
    write_results(arguments.results or f"memory_flat_{cpu_class()}", text, figures)


def _write_model(folder: Path) -> None:
    from bertkit.model.config import BertConfig
    from bertkit.model.initialization import initialize
    from bertkit.model.pretraining import PretrainingModel
    from bertkit.pretrained.folder import write_model_folder
    from bertkit.text.tokenizer import Tokenizer

    vocabulary = folder.with_name("vocab.txt")
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS]
    vocabulary.write_text("\n".join(entries) + "\n", encoding="utf-8")
    tokenizer = Tokenizer.from_pretrained(vocabulary, lowercase=True)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
        max_position_embeddings=512,
    )
    model = PretrainingModel(config)
    initialize(model, 0.02, seed=1)
    folder.mkdir()
    write_model_folder(folder, model, config, architecture="BertForPreTraining")
    tokenizer.save_pretrained(folder)


def _text(draw: random.Random, most: int) -> str:
    return " ".join(draw.choices(_WORDS, k=draw.randint(1, most)))


def _write_lines(path: Path, count: int) -> None:
    draw = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{_text(draw, _LINE_WORDS)}\n" for _ in range(count))


def _resident_mb(process: int | str = "self") -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _single_texts(arguments: argparse.Namespace) -> list[float]:
    import bertkit

    (backend,) = arguments.backends
    model = bertkit.load(arguments.single, backend=backend, precision=arguments.precision)
    draw = random.Random(2)
    samples = []
    for number in range(arguments.texts):
        if number % max(1, arguments.texts // SAMPLES) == 0:
            samples.append(_resident_mb())
        model.embed(_text(draw, _MOST_WORDS))
    return [*samples, _resident_mb()]


def _run_single(backend: str, model: Path, lines: Path, arguments: argparse.Namespace) -> list[float]:
    command = [sys.executable, __file__, "--single", str(model), "--backends", backend]
    command += ["--texts", str(arguments.texts), "--precision", arguments.precision]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    samples: list[float] = json.loads(output.splitlines()[-1])
    return samples


def _run_lines(backend: str, model: Path, lines: Path, arguments: argparse.Namespace) -> list[float]:
    """Of the command, sampled from outside; the first two seconds are Python's imports."""
    output = lines.with_name(f"{backend}.npy")
    command = [sys.executable, "-m", "bertkit", "embed", str(model), "--input", str(lines), "--output", str(output)]
    command += ["--backend", backend, "--precision", arguments.precision]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    samples = []
    while process.poll() is None:
        try:
            samples.append(_resident_mb(process.pid))
        except (FileNotFoundError, IndexError, ProcessLookupError):
            break
        time.sleep(0.25)
    if process.wait():
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    output.unlink()
    while samples and samples[-1] == 0:  # a process that has ended and was not waited for
        samples.pop()
    return samples


def _curve(backend: str, name: str, samples: list[float], seconds: float) -> dict[str, Any]:
    tenth = samples[len(samples) // 10]
    step = max(1, len(samples) // SAMPLES)
    return {
        "backend": backend,
        "what": name,
        "seconds": seconds,
        "tenth_mb": tenth,
        "half_mb": samples[len(samples) // 2],
        "last_mb": samples[-1],
        "most_mb": max(samples),
        "growth_mb": samples[-1] - tenth,
        "mb": [round(sample, 1) for sample in samples[::step]],
    }


def _head(machine: str, command: str, arguments: argparse.Namespace) -> list[str]:
    return [
        "# Memory that does not grow",
        "",
        f"{machine}; CPU class {cpu_class()}. `{command}`: {arguments.texts:,} single texts of 1 to {_MOST_WORDS}",
        f"words through a loaded model, {arguments.lines:,} lines through `bertkit embed`; {arguments.precision}.",
        "Resident memory in MB at a tenth of the way, half of it and the end, and the most that there was.",
        "",
        "| backend | | a tenth | half | end | most | growth | seconds |",
        "| --- " * 8 + "|",
    ]


def _row(curve: dict[str, Any]) -> str:
    sizes = " | ".join(f"{curve[name]:.0f}" for name in ("tenth_mb", "half_mb", "last_mb", "most_mb"))
    return f"| {curve['backend']} | {curve['what']} | {sizes} | {curve['growth_mb']:+.1f} | {curve['seconds']:.0f} |"


if __name__ == "__main__":
    main()
