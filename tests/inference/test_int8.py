"""int8 in the torch backend: exact products, results that do not depend on neighbours, and what cannot be computed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from bertkit.core.errors import InputError
from bertkit.core.files import read_json, write_json
from bertkit.inference.backends import torch_int8
from bertkit.inference.backends.torch_int8 import Int8Products, QuantizedLinear, find_weight_range
from bertkit.inference.load import load
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.int8 import (
    INT8_FILE,
    INT8_KEY,
    Int8Settings,
    Int8Weight,
    int8_linear,
    quantize_tensors,
    quantize_weight,
)

TEXTS = ["the cat sat on a mat", "the dog", "a dog ran far and the cat sat on the mat and the dog sat", "cat"]


@pytest.fixture
def weight_range() -> int:
    found = find_weight_range()
    if found is None:
        pytest.skip("torch has no exact int8 products on this CPU")
    return found


@pytest.fixture
def int8_folder(pretrained: Path, tmp_path: Path) -> Path:
    """The model with int8 weights but for the last down-projection."""
    folder = tmp_path / "int8"
    shutil.copytree(pretrained, folder)
    modules = ModelFolder.open(folder).linear_modules
    kept = modules["bert.layers.1.output"]
    chosen = tuple(name for names in modules.values() for name in names if name not in kept)
    quantize_tensors(load_file(folder / "model.safetensors"), chosen).write(folder / INT8_FILE)
    (folder / "model.safetensors").unlink()
    settings = Int8Settings(int8_layers=chosen, float32_layers=kept)
    write_json(folder / "config.json", read_json(folder / "config.json") | {INT8_KEY: settings.describe()})
    return folder


def _weight(outputs: int, inputs: int, weight_range: int, seed: int = 0) -> Int8Weight:
    values = np.random.default_rng(seed).normal(0, 0.3, (outputs, inputs)).astype(np.float32)
    values[0] = 0.5
    return quantize_weight(values, weight_range)


def _cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)


def test_products_are_those_of_integers_also_where_all_are_largest(weight_range: int):
    rng = np.random.default_rng(1)
    values = rng.integers(-weight_range, weight_range + 1, (48, 96)).astype(np.int8)
    values[0], values[1] = weight_range, -weight_range
    rows = rng.integers(-128, 128, (70, 96)).astype(np.int8)
    rows[0], rows[1], rows[2] = 127, -128, 0
    products = Int8Products(Int8Weight(values, np.ones(48, np.float32)))
    exact = rows.astype(np.int32) @ values.T.astype(np.int32)
    assert (products(torch.from_numpy(rows)).numpy() == exact).all()


def test_a_layer_computes_what_the_reference_does(weight_range: int):
    weight, bias = _weight(40, 96, weight_range), np.linspace(-1, 1, 40, dtype=np.float32)
    rows = np.random.default_rng(2).normal(0, 1, (301, 96)).astype(np.float32)
    rows[5], rows[6], rows[7], rows[8] = 0, 3, -0.01, rows[8] * 1e4
    found = QuantizedLinear(weight, torch.from_numpy(bias))(torch.from_numpy(rows)).numpy()
    expected = int8_linear(rows, weight, bias)
    assert (np.abs(found - expected) <= 1e-5 * np.abs(expected).max(axis=1, keepdims=True)).all()
    assert (found[5] == bias).all()


def test_a_row_has_the_same_bits_alone_and_among_others(weight_range: int):
    layer = QuantizedLinear(_weight(40, 96, weight_range), None)
    rows = torch.randn(300, 96, generator=torch.Generator().manual_seed(3))
    rows[17] *= 1e3
    together = layer(rows)
    for number in (0, 17, 127, 128, 299):
        assert torch.equal(layer(rows[number : number + 1])[0], together[number])
    assert torch.equal(layer(rows[100:164]), together[100:164])


def test_a_text_has_the_same_vector_alone_and_among_others(weight_range: int, pretrained: Path):
    model = load(pretrained, precision="int8", backend="torch")
    assert model.model.engine.backend.precision == "int8"
    together = model.embed(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        assert (model.embed([text])[0] == vector).all()


def test_int8_is_near_float32_and_not_equal(weight_range: int, pretrained: Path):
    exact, quantized = (load(pretrained, precision=p, backend="torch").embed(TEXTS) for p in ("float32", "int8"))
    assert 0.98 < _cosines(exact, quantized).min() < 1 - 1e-6


def test_an_int8_folder_is_int8_with_auto_and_its_weights_as_floats_with_float32(
    weight_range: int, int8_folder: Path, capsys: pytest.CaptureFixture[str]
):
    auto, asked, floats = (load(int8_folder, precision=p, backend="torch") for p in ("auto", "int8", "float32"))
    assert [one.model.engine.backend.precision for one in (auto, asked, floats)] == ["int8", "int8", "float32"]
    assert (auto.embed(TEXTS) == asked.embed(TEXTS)).all()
    np.testing.assert_allclose(auto.embed(TEXTS), floats.embed(TEXTS), atol=0.05)
    layers = auto.model.engine.backend._bert.layers  # type: ignore[attr-defined]
    assert isinstance(layers[0].output, QuantizedLinear)
    assert isinstance(layers[1].output, torch.nn.Linear)


def test_where_sums_saturate_weights_are_narrowed_and_it_is_said(
    weight_range: int, int8_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    wide = load(int8_folder, precision="int8", backend="torch").embed(TEXTS)
    monkeypatch.setattr(torch_int8, "find_weight_range", lambda: 63)
    narrow = load(int8_folder, precision="int8", backend="torch").embed(TEXTS)
    assert capsys.readouterr().err.count("narrowed to ±63") == 1 + (weight_range == 63)
    assert (wide != narrow).any() or weight_range == 63
    assert _cosines(wide, narrow).min() > 0.99


def test_a_cpu_without_exact_products_is_refused_in_one_line(pretrained: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch_int8, "find_weight_range", lambda: None)
    with pytest.raises(InputError, match="no exact int8 products on this CPU: give precision float32"):
        load(pretrained, precision="int8", backend="torch")


def test_operators_that_saturate_or_are_gone_are_found_out(monkeypatch: pytest.MonkeyPatch):
    class Saturating(Int8Products):
        def __init__(self, weight: Int8Weight) -> None:
            self._weight = torch.from_numpy(weight.values)

        def __call__(self, rows: torch.Tensor) -> torch.Tensor:
            products = (rows.int() + 128)[:, None] * self._weight.int()
            pairs = (products[..., ::2] + products[..., 1::2]).clamp(-(2**15), 2**15 - 1)
            return (pairs.sum(-1) - 128 * self._weight.int().sum(1)).float()

    class Missing(Int8Products):
        def __init__(self, weight: Int8Weight) -> None:
            raise AttributeError("no such operator")

    monkeypatch.setattr(torch_int8, "Int8Products", Saturating)
    assert find_weight_range.__wrapped__() == 63
    monkeypatch.setattr(torch_int8, "Int8Products", Missing)
    assert find_weight_range.__wrapped__() is None


def test_int8_on_a_gpu_is_refused_in_one_line(pretrained: Path):
    with pytest.raises(InputError, match="int8 is for CPUs: on cuda give precision bf16"):
        load(pretrained, precision="int8", device="cuda")
