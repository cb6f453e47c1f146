from pathlib import Path

import numpy as np
import pytest

from bertkit.model.config import BertConfig
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.int8 import FULL_RANGE, NARROW_RANGE, int8_linear, quantize_weight
from small_models import CONFIGS, small_folder

onnx = pytest.importorskip("onnx", reason="needs the package onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

from bertkit.inference.export.graph import OPSET_INT8, Graph  # noqa: E402
from bertkit.inference.export.int8 import Int8Operators  # noqa: E402
from bertkit.inference.export.write_graph import write_graph  # noqa: E402


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _run(session: onnxruntime.InferenceSession, ids: np.ndarray, lengths: list[int]) -> np.ndarray:
    mask = (np.arange(ids.shape[1]) < np.array(lengths)[:, None]).astype(np.int64)
    inputs = {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    found: np.ndarray = session.run(None, {each.name: inputs[each.name] for each in session.get_inputs()})[0]
    return found


class _Layer:
    """Weights of one linear layer."""

    def __init__(self, matrix: np.ndarray, bias: np.ndarray) -> None:
        self._tensors = {"bert.layers.0.output.weight": matrix, "bert.layers.0.output.bias": bias}

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        return self._tensors[name].shape

    def read(self, name: str) -> np.ndarray:
        return self._tensors[name]


@pytest.mark.parametrize("weight_range", [FULL_RANGE, NARROW_RANGE])
def test_a_layer_computes_what_the_reference_of_the_format_does(weight_range: int, tmp_path: Path):
    draw = np.random.default_rng(0)
    matrix, bias = draw.normal(size=(24, 40)).astype(np.float32), draw.normal(size=24).astype(np.float32)
    rows = draw.normal(size=(2, 5, 40)).astype(np.float32)
    rows[0, 0] = 0
    rows[0, 1] = np.abs(rows[0, 1]) + 3
    rows[1, 2] *= 1e4
    graph = Graph(opset=OPSET_INT8)
    operators = Int8Operators(graph, _Layer(matrix, bias), {}, 1, weight_range)
    given = graph.input("rows", ["batch", "sequence", 40], onnx.TensorProto.FLOAT)
    graph.output("result", operators.linear(given, "bert.layers.0.output", name="output"), ["batch", "sequence", 24])
    graph.write(tmp_path / "layer.onnx")
    found = _session(tmp_path / "layer.onnx").run(None, {"rows": rows})[0]
    expected = int8_linear(rows.reshape(-1, 40), quantize_weight(matrix, weight_range), bias).reshape(found.shape)
    # A number half way between two integers may go to either: one step of its row, at most.
    step = (rows.max(-1, initial=0) - rows.min(-1, initial=0)) / 255 * np.abs(matrix).max()
    assert (np.abs(found - expected) <= step[..., None] + 1e-5).all()
    assert np.abs(found - expected).mean() < 1e-3 * np.abs(expected).mean()


@pytest.mark.parametrize("family", CONFIGS)
def test_the_result_of_a_text_does_not_depend_on_its_neighbours_bit_for_bit(family: str, tmp_path: Path):
    small_folder(tmp_path / "model", CONFIGS[family], "BertModel")
    info = write_graph(ModelFolder.open(tmp_path / "model"), tmp_path / "model.onnx", precision="int8")
    session = _session(info.path)
    ids = np.random.default_rng(1).integers(1, 61, (3, 11))
    lengths = [11, 4, 7]
    together = _run(session, ids, lengths)
    for text, length in enumerate(lengths):
        others = np.where(np.arange(3)[:, None] == text, ids, ids[:, ::-1])
        beside = _run(session, others, [length if row == text else 11 for row in range(3)])
        alone = _run(session, ids[text : text + 1], [length])
        assert np.array_equal(together[text, :length], beside[text, :length])
        assert np.array_equal(together[text, :length], alone[0, :length])


def test_int8_stays_near_float32(tmp_path: Path):
    config = BertConfig(
        vocab_size=61, hidden_size=96, num_hidden_layers=2, num_attention_heads=3, intermediate_size=192
    )
    small_folder(tmp_path / "model", config, "BertModel")
    folder = ModelFolder.open(tmp_path / "model")
    ids, lengths = np.random.default_rng(2).integers(1, 61, (4, 20)), [20, 3, 9, 14]
    exact = _run(_session(write_graph(folder, tmp_path / "exact.onnx").path), ids, lengths)
    for weight_range, bound in ((FULL_RANGE, 0.997), (NARROW_RANGE, 0.99)):
        path = write_graph(folder, tmp_path / "int8.onnx", precision="int8", weight_range=weight_range).path
        onnx.checker.check_model(path, full_check=True)
        found = _run(_session(path), ids, lengths)
        cosine = (found * exact).sum(-1) / np.linalg.norm(found, axis=-1) / np.linalg.norm(exact, axis=-1)
        assert cosine[np.arange(20) < np.array(lengths)[:, None]].mean() > bound


def test_the_int8_weights_of_a_folder_are_taken_as_they_are(tmp_path: Path):
    from safetensors.numpy import load_file

    from bertkit.core.files import read_json, write_json
    from bertkit.pretrained.int8 import INT8_FILE, INT8_KEY, Int8Settings, quantize_tensors

    small_folder(tmp_path / "model", CONFIGS["bert"], "BertModel")
    folder = ModelFolder.open(tmp_path / "model")
    kept, *layers = [name for names in folder.linear_modules.values() for name in names if "intermediate" in name]
    quantize_tensors(load_file(folder.weights), layers, NARROW_RANGE).write(folder.path / INT8_FILE)
    folder.weights.unlink()
    settings = Int8Settings(int8_layers=tuple(layers), float32_layers=(kept,), weight_range=NARROW_RANGE)
    config = read_json(folder.path / "config.json") | {INT8_KEY: settings.describe()}
    write_json(folder.path / "config.json", config)

    folder = ModelFolder.open(tmp_path / "model")
    info = write_graph(folder, tmp_path / "model.onnx", precision="int8")
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(info.path).graph.initializer}
    integers = {name: array for name, array in stored.items() if name.endswith(".int8")}
    assert set(integers) == {f"bert.layers.{depth}.intermediate.weight.int8" for depth in (1, 2)}
    for name, weight in folder.int8_weights().items():
        assert np.array_equal(integers[f"{name}.weight.int8"], weight.values.T)
