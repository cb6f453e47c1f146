"""OpenVINO's intermediate representation of a graph, in float32 or with int8 weights that it multiplies as integers.

In int8 OpenVINO quantises the activations itself, a group of neighbouring numbers of a row at a time, where the CPU has
VNNI; elsewhere it multiplies in float32. Neither needs texts to calibrate with, and no text depends on its neighbours.
"""
# N outputs, K inputs of a matrix.

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openvino
from openvino import opset13

from bertkit.inference.export.write_graph import GraphInfo, GraphPrecision, build_graph
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.int8 import Int8Weight, encoder_linears, quantize_weight

_GROUPS = (128, 64, 32)
"""Numbers of a row that share a scale: the more, the faster; OpenVINO's own choice is 32."""
_WEIGHT = re.compile(r"(?P<module>bert\.layers\..+)\.weight(\.(?P<part>\d))?")


def write_openvino(
    folder: ModelFolder, path: Path, *, precision: GraphPrecision = "float32", outputs: Sequence[str] | None = None
) -> GraphInfo:
    """Write the folder's model to `path`, whose name ends in .xml, and its weights beside it, as `write_graph` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent) as temporary:
        graph = build_graph(replace(folder), outputs=outputs)  # another, so that its weights are given back
        inputs, given = (tuple(each.name for each in ends) for ends in (graph.inputs, graph.outputs))
        graph.write_in_two(source := Path(temporary) / "model.onnx", Path(temporary) / "model.data")
        graph.constants.clear()  # what makes them holds the folder's weights
        model = openvino.Core().read_model(source)  # maps the constants
        if precision == "int8":
            _take_int8(model, folder)
        openvino.save_model(model, path, compress_to_fp16=False)
        del model  # it holds the temporary file
    size = path.stat().st_size + path.with_suffix(".bin").stat().st_size
    return GraphInfo(path=path, inputs=inputs, outputs=given, precision=precision, size=size)


def _take_int8(model: Any, folder: ModelFolder) -> None:
    """Put int8 weights in the place of those of the encoder's layers."""
    stored = folder.int8_weights()
    layers = set(stored or encoder_linears(folder.config.num_hidden_layers))
    quantized: tuple[str, Int8Weight] | None = None
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        found = _WEIGHT.fullmatch(node.input_value(1).get_node().get_friendly_name())
        if found is None or found["module"] not in layers:
            continue
        module = found["module"]
        if quantized is None or quantized[0] != module:
            weight = stored.get(module) or quantize_weight(folder.arrays.read(f"{module}.weight"))
            quantized = module, weight
        weight = quantized[1]
        count = node.get_output_partial_shape(0)[-1].get_length()
        span = slice(int(found["part"] or 0) * count, (int(found["part"] or 0) + 1) * count)
        integers = opset13.convert(opset13.constant(weight.values[span]), "f32")  # (N, K)
        matrix = opset13.multiply(integers, opset13.constant(weight.scales[span, None]))
        product = opset13.matmul(node.input_value(0), matrix, False, True)
        product.set_friendly_name(node.get_friendly_name())
        for reader in list(node.output(0).get_target_inputs()):
            reader.replace_source_output(product.output(0))
    config = folder.config
    group = next((size for size in _GROUPS if not config.hidden_size % size and not config.intermediate_size % size), 0)
    if group:
        model.set_rt_info(str(group), ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"])
