"""Sentence encoders that are compared: bertkit's backends and the libraries in use today, each in a process of its own.

`latency.py` and `embedding.py` start this file with the Python of the environment that a contender needs: bertkit's
own, or that of the peers (`prepare_peers.py` makes it and the peers' model files). The process loads the model, says so
in a line, and then answers requests, a JSON object a line. Nothing of bertkit is imported for the peers.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Embed = Callable[[list[str]], Vectors]

MAX_LENGTH = 512
_RANDOM_TEXTS = 16
_BATCH_TOKENS = 2048


@dataclass(frozen=True)
class Contender:
    """A library with a way to run the model."""

    name: str
    precision: str
    is_peer: bool = True

    def __str__(self) -> str:
        return f"{self.name} {self.precision}"


OURS = (
    Contender("bertkit native", "float32", is_peer=False),
    Contender("bertkit native", "bf16", is_peer=False),
    Contender("bertkit native", "int8", is_peer=False),
    Contender("bertkit torch", "float32", is_peer=False),
    Contender("bertkit torch", "bf16", is_peer=False),
    Contender("bertkit torch", "int8", is_peer=False),
    Contender("bertkit onnx", "float32", is_peer=False),
    Contender("bertkit onnx", "int8", is_peer=False),
    Contender("bertkit openvino", "float32", is_peer=False),
    Contender("bertkit openvino", "int8", is_peer=False),
)
PEERS = (
    Contender("sentence-transformers torch", "float32"),
    Contender("sentence-transformers torch", "bf16"),
    Contender("sentence-transformers onnx", "float32"),
    Contender("sentence-transformers openvino", "float32"),
    Contender("onnxruntime", "float32"),
    Contender("onnxruntime", "int8"),
    Contender("openvino", "float32"),
    Contender("openvino", "bf16"),
    Contender("openvino", "int8"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How a contender is started."""

    name: str
    precision: str
    folder: str
    threads: int
    is_latency: bool
    """Whether it is set for one text at once, or for many."""
    streams: int = 1
    batch_size: int = 32


class Encoder:
    """A contender in a process of its own, which waits for requests."""

    def __init__(self, python: str, setup: Setup) -> None:
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
        environment["OMP_NUM_THREADS"] = str(setup.threads)
        if not setup.is_latency:  # what `bertkit.core.machine.tune_allocator` sets
            environment |= {
                "MALLOC_MMAP_MAX_": "0",
                "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
                "MALLOC_TOP_PAD_": str(256 << 20),
            }
        self._process = subprocess.Popen(
            [python, __file__, json.dumps(setup.__dict__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def ready(self) -> str | None:
        """Wait until the model is loaded; what went wrong, in a line, where it is not."""
        assert self._process.stdout is not None
        if self._process.stdout.readline().startswith(_READY):
            return None
        lines = self._process.communicate()[1].strip().splitlines()
        return lines[-1] if lines else f"ended with {self._process.returncode}"

    def ask(self, **request: Any) -> Any:
        """The answer to a request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(self._process.communicate()[1])
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


_READY = "ready"


def main() -> None:
    """Load the model and answer requests: milliseconds of single texts, or the vectors of a file of texts."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    setup = Setup(**json.loads(sys.argv[1]))
    build = {"bertkit": _bertkit, "sentence-transformers": _sentence_transformers}
    build |= {"onnxruntime": _onnxruntime, "openvino": _openvino}
    embed = build[setup.name.split()[0]](setup)
    print(_READY, file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = _latencies(embed, setup, **request) if "tokens" in request else _many(embed, **request)
        print(json.dumps(answer), file=answers, flush=True)


def _latencies(embed: Embed, setup: Setup, tokens: int, seconds: float) -> list[float]:
    """Milliseconds of each call with another text of so many tokens, special ones counted."""
    texts = texts_of(Path(setup.folder), tokens)
    embed([texts[0]])
    found: list[float] = []
    end = time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        start = time.perf_counter()
        embed([texts[len(found) % len(texts)]])
        found.append((time.perf_counter() - start) * 1e3)
    return found


def _many(embed: Embed, texts: str, vectors: str, warm_up: int) -> dict[str, float]:
    """Seconds and CPU seconds that a file of texts takes; the vectors are written to a file."""
    lines = json.loads(Path(texts).read_text(encoding="utf-8"))
    embed(lines[:warm_up])
    cpu, start = time.process_time(), time.perf_counter()
    made = embed(lines)
    found = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    np.save(vectors, made)
    return found


def texts_of(folder: Path, tokens: int) -> list[str]:
    """Texts of whole words that are entries of the vocabulary, so that each has exactly so many tokens."""
    entries = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    words = [entry for entry in entries if entry.isascii() and entry.isalpha() and len(entry) > 2]
    draw = random.Random(tokens)
    return [" ".join(draw.choices(words, k=tokens - 2)) for _ in range(_RANDOM_TEXTS)]


def _bertkit(setup: Setup) -> Embed:
    import bertkit

    model = bertkit.load(
        setup.folder,
        backend=setup.name.split()[1],  # type: ignore[arg-type]
        precision=setup.precision,  # type: ignore[arg-type]
        threads=setup.threads,
        device="cpu",
    )
    return model.embed


def _sentence_transformers(setup: Setup) -> Embed:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(setup.threads)
    backend = setup.name.split()[1]
    options: dict[str, Any] = {}
    if backend == "onnx":
        import onnxruntime

        session_options = onnxruntime.SessionOptions()
        session_options.intra_op_num_threads = setup.threads
        options = {"provider": "CPUExecutionProvider", "session_options": session_options}
    elif backend == "openvino":
        options = {"ov_config": _openvino_hints(setup)}
    model = SentenceTransformer(f"{setup.folder}/peers/st", device="cpu", backend=backend, model_kwargs=options)
    if setup.precision == "bf16":
        model = model.bfloat16()

    def embed(sentences: list[str]) -> Vectors:
        vectors = model.encode(sentences, batch_size=setup.batch_size, convert_to_tensor=True, show_progress_bar=False)
        return vectors.to(torch.float32).numpy()

    return embed


def _tokenizer(folder: str) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.no_padding()
    return tokenizer


def _padded(encoded: Sequence[Any]) -> dict[str, NDArray[np.int64]]:
    ids = np.zeros((len(encoded), max(len(one.ids) for one in encoded)), np.int64)
    mask = np.zeros_like(ids)
    for row, one in enumerate(encoded):
        ids[row, : len(one.ids)] = one.ids
        mask[row, : len(one.ids)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def budget_batches(lengths: Sequence[int], max_tokens: int = _BATCH_TOKENS) -> list[list[int]]:
    """Places of texts by length, in batches that hold `max_tokens` when they are padded."""
    batches: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not batches or (len(batches[-1]) + 1) * lengths[place] > max_tokens:
            batches.append([])
        batches[-1].append(place)
    return batches


def _pooled(states: NDArray[np.float32], mask: NDArray[np.int64]) -> Vectors:
    """The mean over the tokens, of length 1."""
    weights = mask[:, :, None].astype(np.float32)
    vectors: Vectors = (states * weights).sum(1) / weights.sum(1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _onnxruntime(setup: Setup) -> Embed:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = setup.threads
    options.inter_op_num_threads = 1
    name = "ort_int8.onnx" if setup.precision == "int8" else "ort.onnx"
    session = onnxruntime.InferenceSession(f"{setup.folder}/peers/{name}", options, ["CPUExecutionProvider"])
    wanted = {one.name for one in session.get_inputs()}
    tokenizer = _tokenizer(setup.folder)

    def run(encoded: Sequence[Any]) -> Vectors:
        batch = _padded(encoded)
        mask = batch["attention_mask"]
        if "token_type_ids" in wanted:
            batch["token_type_ids"] = np.zeros_like(mask)
        return _pooled(session.run(["last_hidden_state"], batch)[0], mask)

    def embed(sentences: list[str]) -> Vectors:
        encoded = tokenizer.encode_batch(sentences)
        batches = budget_batches([len(one.ids) for one in encoded])
        parts = [run([encoded[place] for place in batch]) for batch in batches]
        vectors = np.empty((len(encoded), parts[0].shape[1]), np.float32)
        vectors[np.concatenate(batches)] = np.concatenate(parts)
        return vectors

    return embed


def _openvino_hints(setup: Setup) -> dict[str, Any]:
    """int8 leaves the precision of the rest to OpenVINO, which takes bf16 where the CPU multiplies it."""
    precision = {"float32": "f32", "bf16": "bf16"}.get(setup.precision)
    return {
        "PERFORMANCE_HINT": "LATENCY" if setup.is_latency else "THROUGHPUT",
        "INFERENCE_NUM_THREADS": setup.threads,
        **({} if setup.is_latency else {"NUM_STREAMS": setup.streams}),
        **({} if precision is None else {"INFERENCE_PRECISION_HINT": precision}),
    }


def _openvino(setup: Setup) -> Embed:
    """Pooling and normalisation are in the graph; an asynchronous queue keeps several streams busy."""
    import openvino

    name = "openvino_int8.xml" if setup.precision == "int8" else "openvino.xml"
    compiled = openvino.compile_model(f"{setup.folder}/peers/{name}", "CPU", _openvino_hints(setup))
    tokenizer = _tokenizer(setup.folder)
    width = compiled.output(0).partial_shape[1].get_length()
    request = compiled.create_infer_request()

    def embed(sentences: list[str]) -> Vectors:
        encoded = tokenizer.encode_batch(sentences)
        if len(encoded) == 1:
            return np.array(request.infer(_padded(encoded))[0])
        vectors = np.empty((len(encoded), width), np.float32)

        def keep(answered: Any, places: list[int]) -> None:
            vectors[places] = answered.get_output_tensor(0).data

        queue = openvino.AsyncInferQueue(compiled, setup.streams)
        queue.set_callback(keep)
        for places in budget_batches([len(one.ids) for one in encoded]):
            queue.start_async(_padded([encoded[place] for place in places]), places)
        queue.wait_all()
        return vectors

    return embed


if __name__ == "__main__":
    main()
