"""Speed and memory of `prepare`.

    python benchmarks/prepare.py speed TEXT --vocab TOKENIZER --google-bert CHECKOUT
    python benchmarks/prepare.py memory CORPUS... --vocab TOKENIZER --times 0.25 1 10
    python benchmarks/prepare.py workers CORPUS... --vocab TOKENIZER --times 1 4
    python benchmarks/prepare.py reading CORPUS... --vocab TOKENIZER

`speed`: `prepare` and one epoch of masked instances against `create_pretraining_data.py` of google-research/bert
(`git clone https://github.com/google-research/bert CHECKOUT`) on the same text and vocabulary, each run a process of
its own on one core, A B A B. The script's TensorFlow is replaced by a stub, since its work is plain Python; the time
to write its record files is not counted. Seconds are the process's CPU seconds.

`memory`: all processes of `prepare` on parts of the corpus, and on several times the corpus: its documents
repeated, in another order each time. With `--drop` duplicate lines and documents are dropped.

`workers`: seconds of `prepare` with one worker and with two, A B A B, and beside them two preparations of the same text
that run at once, independent of each other: their speed is what the machine's cores allow.

`reading`: CPU seconds of what one process has to do for all workers: read, decompress and cut at the ends of documents.
Results go to benchmarks/results as JSON and a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from machine import describe_machine, spelled_command, write_results

MEGABYTE = 1_000_000


def main() -> None:
    """Run what the command line asks for."""
    arguments = _parse()
    if arguments.trial:
        seconds_and_counts = {"ours": _run_ours, "peer": _run_peer, "prepare": _run_prepare}[arguments.trial](arguments)
        print(json.dumps(seconds_and_counts))
        return
    measure = {
        "speed": _compare_speed,
        "memory": _measure_memory,
        "workers": _compare_workers,
        "reading": _measure_reading,
    }
    result = measure[arguments.what](arguments)
    paths = dict.fromkeys(arguments.corpus, "CORPUS") | {arguments.vocab: "TOKENIZER"}
    if arguments.google_bert:
        paths[arguments.google_bert] = "CHECKOUT"
    command = spelled_command(__file__, paths)
    result = {"machine": describe_machine("tokenizers", "numpy"), "command": command, **result}
    text = f"`{result['command']}` on {result['machine']}\n\n{_markdown(result['rows'])}"
    write_results(f"prepare_{arguments.what}", text.rstrip("\n"), result)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "memory", "workers", "reading"])
    parser.add_argument("corpus", nargs="+")
    parser.add_argument("--vocab", required=True, help="tokenizer folder")
    parser.add_argument("--google-bert", help="checkout of google-research/bert")
    parser.add_argument("--megabytes", type=float, default=30.0, help="size of the text sample of `speed`")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="worker processes of `memory`; most of `workers`")
    parser.add_argument("--times", type=float, nargs="+", default=[0.25, 0.5, 1.0], help="sizes, in corpora")
    parser.add_argument("--drop", action="store_true", help="leave out repeated text in `memory`")
    parser.add_argument("--trial", choices=["ours", "peer", "prepare"], help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    return parser.parse_args()


def _markdown(rows: list[dict[str, Any]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# Speed ---------------------------------------------------------------------------------------------------------


def _compare_speed(arguments: argparse.Namespace) -> dict[str, Any]:
    if not arguments.google_bert:
        raise SystemExit("--google-bert is needed: a checkout of github.com/google-research/bert")
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "sample.txt"
        size = _write_sample(arguments.corpus, sample, int(arguments.megabytes * MEGABYTE))
        runs: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
        for number in range(arguments.rounds):
            for name, trials in runs.items():
                trials.append(_trial(arguments, name, [str(sample)], f"{folder}/out{number}"))
                print(name, trials[-1], file=sys.stderr)
    rows = []
    for name, label in (("ours", "bertkit"), ("peer", "google-research/bert")):
        seconds = statistics.median(run["seconds"] for run in runs[name])
        rows.append(
            {
                "": label,
                "CPU seconds": round(seconds, 2),
                "MB/s a core": round(size / MEGABYTE / seconds, 3),
                "tokens": runs[name][0]["tokens"],
                "instances": runs[name][0]["instances"],
                "predictions": runs[name][0]["predictions"],
            }
        )
    ratio = rows[1]["CPU seconds"] / rows[0]["CPU seconds"]
    for row in rows:
        row["times the peer"] = round(rows[1]["CPU seconds"] / row["CPU seconds"], 1)
    return {"rows": rows, "ratio": ratio, "bytes": size, "runs": runs}


def _write_sample(names: list[str], path: Path, num_bytes: int) -> int:
    """Write whole documents of the corpus until `num_bytes` are reached."""
    from bertkit.data.corpus.documents import read_documents
    from bertkit.data.corpus.options import CorpusOptions

    size = 0
    with path.open("w", encoding="utf-8") as file:
        for sentences in read_documents(names, CorpusOptions()):
            size += len("\n".join(sentences).encode()) + 2
            file.write("\n".join(sentences) + "\n\n")
            if size >= num_bytes:
                break
    return path.stat().st_size


def _trial(arguments: argparse.Namespace, name: str, corpus: list[str], out: str) -> dict[str, float]:
    command = [sys.executable, __file__, arguments.what, *corpus, "--trial", name, "--out", out]
    command += ["--vocab", arguments.vocab]
    if arguments.google_bert:
        command += ["--google-bert", arguments.google_bert]
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    core = min(os.sched_getaffinity(0))
    done = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return dict(json.loads(done.stdout))


def _run_ours(arguments: argparse.Namespace) -> dict[str, float]:
    from bertkit.data.corpus.prepare import prepare
    from bertkit.data.corpus.prepared import PreparedCorpus
    from bertkit.data.instances.drawn import DrawnInstances
    from bertkit.data.instances.loader import PretrainingLoader
    from bertkit.data.instances.options import InstanceOptions, MaskingOptions
    from bertkit.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_pretrained(arguments.vocab)
    start = time.process_time()
    prepare(arguments.corpus, tokenizer, arguments.out)
    corpus = PreparedCorpus.open(arguments.out)
    source = DrawnInstances(corpus, InstanceOptions(), MaskingOptions(), seed=1)
    loader = PretrainingLoader(source, batch_size=256, micro_batch_tokens=8192, seed=1)
    instances = predictions = 0
    for step in range(loader.steps_per_epoch):
        for batch in loader.batch(step):
            instances += batch.inputs.num_sequences
            predictions += len(batch.masked_positions)
    seconds = time.process_time() - start
    return {"seconds": seconds, "tokens": corpus.num_tokens, "instances": instances, "predictions": predictions}


def _run_peer(arguments: argparse.Namespace) -> dict[str, float]:
    sys.modules["tensorflow"] = _tensorflow_stub()
    sys.modules["six"] = types.SimpleNamespace(PY2=False, PY3=True)  # type: ignore[assignment]
    sys.path.insert(0, arguments.google_bert)
    import create_pretraining_data
    import tokenization

    tokenizer = tokenization.FullTokenizer(f"{arguments.vocab}/vocab.txt", do_lower_case=True)
    tokens = 0
    tokenize = tokenizer.tokenize

    def counted(line: str) -> list[str]:
        nonlocal tokens
        pieces: list[str] = tokenize(line)
        tokens += len(pieces)
        return pieces

    tokenizer.tokenize = counted
    start = time.process_time()
    instances = create_pretraining_data.create_training_instances(
        arguments.corpus, tokenizer, 128, 1, 0.1, 0.15, 20, random.Random(1)
    )
    seconds = time.process_time() - start
    predictions = sum(len(instance.masked_lm_positions) for instance in instances)
    return {"seconds": seconds, "tokens": tokens, "instances": len(instances), "predictions": predictions}


def _tensorflow_stub() -> types.ModuleType:
    """Hold what the script takes from TensorFlow before it writes records: flags and files."""
    stub: Any = types.ModuleType("tensorflow")
    define = {f"DEFINE_{kind}": lambda *_: None for kind in ("string", "bool", "integer", "float")}
    stub.flags = types.SimpleNamespace(FLAGS=types.SimpleNamespace(do_whole_word_mask=False), **define)
    stub.gfile = types.SimpleNamespace(GFile=functools.partial(open, encoding="utf-8"))
    return stub  # type: ignore[no-any-return]


# Memory --------------------------------------------------------------------------------------------------------


def _measure_memory(arguments: argparse.Namespace) -> dict[str, Any]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "1.txt"
        whole = _write_sample(arguments.corpus, text, sys.maxsize)
        for times in arguments.times:
            sample = _resized(arguments, text, whole, times)
            size = sample.stat().st_size
            made = _sampled_trial(arguments, sample, f"{folder}/out{times:g}", arguments.workers)
            rows.append(
                {
                    "MB of text": round(size / MEGABYTE, 1),
                    "workers": arguments.workers,
                    "seconds": round(made["seconds"], 1),
                    "MB/s": round(size / MEGABYTE / made["seconds"], 2),
                    "peak MB, all processes": round(made["peak_sum"] / MEGABYTE),
                    "peak MB, largest process": round(made["peak_process"] / MEGABYTE),
                    "repeated documents": made["repeated"],
                    "tokens written": made["tokens"],
                }
            )
            print(rows[-1], file=sys.stderr)
            shutil.rmtree(f"{folder}/out{times:g}")
            if sample != text:
                sample.unlink()
    return {"rows": rows}


def _resized(arguments: argparse.Namespace, text: Path, whole: int, times: float) -> Path:
    """A part of the corpus beside `text`, or several times its documents."""
    sample = text.with_name(f"{times:g}.txt")
    if times > 1:
        _write_shuffled(text, sample, times=round(times))
    elif times < 1:
        _write_sample(arguments.corpus, sample, int(times * whole))
    return sample


def _write_shuffled(text: Path, path: Path, times: int) -> None:
    """Write all documents of `text`, `times` times over, each time in another order."""
    documents = text.read_text(encoding="utf-8").removesuffix("\n\n").split("\n\n")
    draw = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(times):
            draw.shuffle(documents)
            for document in documents:
                file.write(f"{document}\n\n")


def _compare_workers(arguments: argparse.Namespace) -> dict[str, Any]:
    rows = []
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "1.txt"
        whole = _write_sample(arguments.corpus, text, sys.maxsize)
        for times in arguments.times:
            sample = _resized(arguments, text, whole, times)
            measured: list[dict[str, float]] = []
            for _ in range(arguments.rounds):
                kinds = {"one": (1, 1), "several": (arguments.workers, 1), "at once": (1, arguments.workers)}
                trial = {
                    name: statistics.mean(_preparations(arguments, sample, Path(folder), workers, processes))
                    for name, (workers, processes) in kinds.items()
                }
                measured.append(trial)
                print(times, measured[-1], file=sys.stderr)
            medians = {name: statistics.median(trial[name] for trial in measured) for name in measured[0]}
            rows.append(
                {
                    "MB of text": round(sample.stat().st_size / MEGABYTE, 1),
                    "one worker, s": round(medians["one"], 1),
                    f"{arguments.workers} workers, s": round(medians["several"], 1),
                    "times as fast": round(medians["one"] / medians["several"], 2),
                    f"{arguments.workers} preparations at once, s": round(medians["at once"], 1),
                    "the machine allows": round(arguments.workers * medians["one"] / medians["at once"], 2),
                }
            )
            runs[f"{times:g}"] = measured
    return {"rows": rows, "seconds": runs}


def _preparations(arguments: argparse.Namespace, text: Path, folder: Path, workers: int, processes: int) -> list[float]:
    """Seconds of preparations that run at once; nothing watches them, which would take a tenth of a core."""

    def seconds(out: Path) -> float:
        with _started_trial(arguments, text, str(out), workers) as process:
            return float(json.loads(process.communicate()[0])["seconds"])

    outs = [folder / f"out{number}" for number in range(processes)]
    with ThreadPoolExecutor(processes) as pool:
        made = list(pool.map(seconds, outs))
    for out in outs:
        shutil.rmtree(out)
    return made


def _measure_reading(arguments: argparse.Namespace) -> dict[str, Any]:
    from bertkit.data.corpus.documents import read_pieces
    from bertkit.data.corpus.options import CorpusOptions
    from bertkit.data.readers.sources import resolve_sources

    rows = []
    for source in resolve_sources(arguments.corpus):
        start = time.process_time()
        size = sum(size for size, _ in read_pieces([source], CorpusOptions()))
        seconds = time.process_time() - start
        rows.append({"file": source.describe()["name"], "MB/s": round(size / MEGABYTE / seconds, 1)})
    return {"rows": rows}


def _sampled_trial(arguments: argparse.Namespace, text: Path, out: str, workers: int) -> dict[str, float]:
    """Prepare in a process of its own, whose memory and that of its workers is watched."""
    with _started_trial(arguments, text, out, workers) as process:
        sampler = _MemorySampler(process.pid)
        sampler.start()
        output = process.communicate()[0]
        sampler.join()
    return {**json.loads(output), "peak_sum": sampler.peak_sum, "peak_process": sampler.peak_process}


@contextlib.contextmanager
def _started_trial(
    arguments: argparse.Namespace, text: Path, out: str, workers: int
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, __file__, "memory", str(text), "--trial", "prepare", "--vocab", arguments.vocab]
    command += ["--workers", str(workers), "--out", out, *(["--drop"] if arguments.drop else [])]
    # One thread a process: a core a worker is what is compared.
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")


def _run_prepare(arguments: argparse.Namespace) -> dict[str, float]:
    from bertkit.data.corpus.options import DuplicateOptions, PrepareOptions
    from bertkit.data.corpus.prepare import prepare
    from bertkit.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_pretrained(arguments.vocab)
    options = PrepareOptions(
        workers=arguments.workers, duplicates=DuplicateOptions(drop_duplicates="both" if arguments.drop else None)
    )
    start = time.perf_counter()
    manifest = prepare(arguments.corpus, tokenizer, arguments.out, options)
    seconds = time.perf_counter() - start
    assert manifest.duplicates is not None
    return {"seconds": seconds, "tokens": manifest.tokens, "repeated": manifest.duplicates.documents}


class _MemorySampler(threading.Thread):
    """Watches the resident memory of a process and its children; pages that they share count for each."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self._root = root
        self.peak_sum = self.peak_process = 0

    def run(self) -> None:
        """Sample until the process has ended."""
        while sizes := [_resident(pid) for pid in _family(self._root)]:
            self.peak_sum = max(self.peak_sum, sum(sizes))
            self.peak_process = max(self.peak_process, *sizes, 0)
            time.sleep(0.02)


def _family(root: int) -> list[int]:
    """Return a running process and all its descendants."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(folder.name)] = int(parent)
    members = [root] if root in parents else []
    for member in members:  # grows while it is read
        members += [child for child, parent in parents.items() if parent == member]
    return members


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


if __name__ == "__main__":
    main()
