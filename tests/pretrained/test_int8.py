"""int8 weights: the reference arithmetic, the file, and bad files in one line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from bertkit.core.checksums import SUMS_FILE
from bertkit.core.errors import InputError
from bertkit.core.files import read_json, write_json
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.int8 import (
    INT8_FILE,
    INT8_KEY,
    Int8Settings,
    Int8Tensors,
    Int8Weight,
    encoder_linears,
    int8_linear,
    quantize_rows,
    quantize_tensors,
    quantize_weight,
)
from bertkit.pretrained.models import BertModel


def _random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


@pytest.fixture
def int8_folder(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with the second layer's down-projection in float32."""
    folder = tmp_path / "int8"
    shutil.copytree(tiny_model, folder)
    opened = ModelFolder.open(folder)
    kept = opened.linear_modules["bert.layers.1.output"]
    chosen = [name for names in opened.linear_modules.values() for name in names if name not in kept]
    quantize_tensors(load_file(folder / "model.safetensors"), chosen).write(folder / INT8_FILE)
    (folder / "model.safetensors").unlink()
    settings = Int8Settings(int8_layers=tuple(chosen), float32_layers=kept)
    write_json(folder / "config.json", read_json(folder / "config.json") | {INT8_KEY: settings.describe()})
    return folder


def test_the_largest_weight_of_a_channel_is_the_end_of_the_range_and_no_weight_moves_more_than_half_a_step():
    weight = _random(5, 40)
    weight[3] = 0
    for weight_range in (127, 63):
        found = quantize_weight(weight, weight_range)
        assert (np.abs(found.values[[0, 1, 2, 4]]).max(axis=1) == weight_range).all()
        assert not found.values[3].any()
        assert (np.abs(found.dequantized() - weight) <= 0.5001 * found.scales[:, None]).all()


def test_a_narrowed_weight_fits_16_bit_sums_and_one_that_fits_stays_as_it_is():
    wide = quantize_weight(_random(6, 30))
    narrow = wide.narrowed()
    assert np.abs(narrow.values).max() == 63
    assert (np.abs(narrow.dequantized() - wide.dequantized()) <= 0.5001 * narrow.scales[:, None]).all()
    assert narrow.narrowed() is narrow


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=4, max_size=4), min_size=1, max_size=5))
def test_no_activation_moves_more_than_a_step_and_zero_stays_zero(rows: list[list[float]]):
    array = np.array(rows, np.float32)
    found = quantize_rows(array)
    back = (found.values.astype(np.int32) - found.zero_points[:, None]) * found.scales[:, None]
    assert (np.abs(back - array) <= 1.001 * found.scales[:, None] + 1e-30).all()
    assert (back[array == 0] == 0).all()


def test_the_reference_is_near_the_product_of_floats_also_for_constant_rows():
    rows, weight, bias = _random(20, 64, seed=1), _random(30, 64, seed=2), _random(30, seed=3)
    rows[0], rows[1], rows[2] = 0, 2.5, -1.5
    exact = rows @ weight.T + bias
    found = int8_linear(rows, quantize_weight(weight), bias)
    assert np.abs(found - exact).max() < 0.03 * np.abs(exact).max()
    assert (found[0] == bias).all()


def test_a_row_does_not_depend_on_the_rows_beside_it():
    rows, weight = _random(9, 32, seed=4), quantize_weight(_random(7, 32, seed=5))
    rows[8] *= 1e3
    together = int8_linear(rows, weight)
    for number in range(9):
        assert (int8_linear(rows[number : number + 1], weight)[0] == together[number]).all()


def test_int8_tensors_come_back_from_the_disk_bit_by_bit(tmp_path: Path):
    tensors = {"a.weight": _random(4, 6), "a.bias": _random(4), "b.weight": _random(3, 4)}
    quantize_tensors(tensors, ["a"]).write(tmp_path / INT8_FILE)
    stored = load_file(tmp_path / INT8_FILE)
    assert {name: tensor.dtype.name for name, tensor in stored.items()} == {
        "a.weight_int8": "int8",
        "a.weight_scale": "float32",
        "a.bias": "float32",
        "b.weight": "float32",
    }
    found = Int8Tensors.read(tmp_path / INT8_FILE)
    assert (found.weights["a"].values == quantize_weight(tensors["a.weight"]).values).all()
    assert (found.others["b.weight"] == tensors["b.weight"]).all()
    assert set(found.dequantized()) == set(tensors)


def test_an_int8_folder_loads_as_a_model_with_the_weights_that_its_integers_stand_for(
    int8_folder: Path, tiny_model: Path
):
    folder, model, original = ModelFolder.open(int8_folder), BertModel.from_pretrained(int8_folder), tiny_model
    weights = folder.int8_weights()
    assert set(weights) == set(encoder_linears(2)) - {"bert.layers.1.output"}
    for name, weight in weights.items():
        ours = model.get_submodule(name.removeprefix("bert.")).weight.numpy(force=True)
        assert (ours == weight.dequantized()).all()
    before = BertModel.from_pretrained(original)
    assert (model.layers[1].output.weight == before.layers[1].output.weight).all()
    assert 0 < (model.layers[0].output.weight - before.layers[0].output.weight).abs().max() < 0.01


def test_a_folder_of_floats_has_no_int8_layers(tiny_model: Path):
    assert ModelFolder.open(tiny_model).int8 is None
    assert ModelFolder.open(tiny_model).int8_weights() == {}


def _without_settings(folder: Path) -> None:
    content = read_json(folder / "config.json")
    del content[INT8_KEY]
    write_json(folder / "config.json", content)


def _with_four_bits(folder: Path) -> None:
    content = read_json(folder / "config.json")
    content[INT8_KEY]["bits"] = 4
    write_json(folder / "config.json", content)


def _other_layers(folder: Path) -> None:
    content = read_json(folder / "config.json")
    content[INT8_KEY]["int8_layers"].pop()
    write_json(folder / "config.json", content)


def _no_list(folder: Path) -> None:
    content = read_json(folder / "config.json")
    content[INT8_KEY]["int8_layers"] = "all"
    write_json(folder / "config.json", content)


def _without_a_scale(folder: Path) -> None:
    stored = load_file(folder / INT8_FILE)
    del stored[next(name for name in stored if name.endswith(".weight_scale"))]
    save_file(stored, folder / INT8_FILE)


def _cut(folder: Path) -> None:
    (folder / INT8_FILE).write_bytes((folder / INT8_FILE).read_bytes()[:-100])


def _key_in_float(folder: Path) -> None:
    path = folder / INT8_FILE
    found = Int8Tensors.read(path)
    name = "bert.encoder.layer.0.attention.self.key"
    weights = dict(found.weights)
    others = dict(found.others) | {f"{name}.weight": weights.pop(name).dequantized()}
    Int8Tensors(weights, others).write(path)
    content = read_json(folder / "config.json")
    content[INT8_KEY]["int8_layers"].remove(name)
    write_json(folder / "config.json", content)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without_settings, "has no bertkit_int8"),
        (_with_four_bits, "bits 4"),
        (_other_layers, "not in both"),
        (_no_list, "no list of names"),
        (_without_a_scale, "quantize again"),
        (_cut, "not a whole safetensors file"),
        (_key_in_float, "only a part of"),
    ],
)
def test_a_spoilt_folder_is_one_clear_line(spoil, message: str, int8_folder: Path):
    (int8_folder / SUMS_FILE).unlink()
    spoil(int8_folder)
    with pytest.raises(InputError, match=message) as caught:
        ModelFolder.open(int8_folder).int8_weights()
    assert "\n" not in str(caught.value)
    assert str(int8_folder) in str(caught.value)


def test_transformers_takes_the_config_and_misses_the_weights(int8_folder: Path):
    import transformers

    assert transformers.AutoConfig.from_pretrained(int8_folder).hidden_size == 16
    with pytest.raises(OSError, match="no file named"):
        transformers.AutoModel.from_pretrained(int8_folder)


def test_the_format_is_read_without_torch():
    program = "import sys, bertkit.pretrained.int8; print(json.dumps('torch' in sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", f"import json; {program}"], capture_output=True, text=True, check=True
    )
    assert json.loads(found.stdout) is False


def test_weights_joined_are_the_rows_of_all(int8_folder: Path):
    folder = ModelFolder.open(int8_folder)
    stored = Int8Tensors.read(int8_folder / INT8_FILE).weights
    joined: Int8Weight = folder.int8_weights()["bert.layers.0.attention.query_key_value"]
    for third, module in enumerate(folder.linear_modules["bert.layers.0.attention.query_key_value"]):
        rows = slice(16 * third, 16 * third + 16)
        assert (joined.values[rows] == stored[module].values).all()
        assert (joined.scales[rows] == stored[module].scales).all()
