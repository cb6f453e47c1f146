import math

import numpy as np
import pytest

from bertkit.native.library import find_isa, load_library
from bertkit.native.linear import Int8Weights, PackedLinear, PackedNorm
from native_isas import every_isa, every_product, needs_native

ROWS = (1, 2, 5, 6, 7, 13, 14, 15, 16, 17, 31, 32, 33, 64, 70)
WIDTHS = ((1, 1), (3, 33), (17, 16), (64, 100), (130, 31), (384, 65))
RELATIVE_ERROR = {"float32": 3e-7, "bf16": 2e-2, "int8": 2e-2}
"""Of a product's error beside the product of the lengths of a row and of an output's weights."""


def _numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@every_product
@pytest.mark.parametrize(("inputs", "outputs"), WIDTHS)
def test_a_product_is_that_of_float64_for_every_number_of_rows(kind: str, isa: str, inputs: int, outputs: int):
    weight, bias = _numbers(outputs, inputs), _numbers(outputs, seed=1)
    layer = PackedLinear(weight, bias, kind, find_isa(isa))
    for count in ROWS:
        rows = _numbers(count, inputs, seed=count)
        exact = rows.astype(np.float64) @ weight.T.astype(np.float64) + bias
        lengths = np.linalg.norm(rows, axis=1)[:, None] * np.linalg.norm(weight, axis=1) + np.abs(bias)
        assert np.all(np.abs(layer(rows) - exact) <= RELATIVE_ERROR[kind] * lengths), count


@every_product
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_row_has_the_same_bits_alone_and_among_others(kind: str, isa: str, threads: int):
    layer = PackedLinear(_numbers(200, 150), _numbers(200, seed=1), kind, find_isa(isa), "gelu")
    rows = _numbers(70, 150, seed=2)
    together = layer(rows, threads)
    for start, end in ((0, 1), (5, 6), (60, 70), (1, 34)):
        np.testing.assert_array_equal(layer(rows[start:end]), together[start:end])


@every_isa
def test_int8_products_are_whole_numbers_without_saturation(isa: str):
    """Rows that hold 0 and 255 are their own codes, so that sums can be compared with those of integers."""
    most = load_library().bertkit_most_weight(find_isa(isa))
    random = np.random.default_rng(0)
    for outputs, inputs in ((33, 64), (64, 384), (40, 257)):
        weights = random.integers(-most, most + 1, (outputs, inputs)).astype(np.int8)
        weights[0], weights[1] = most, -most  # the worst case for sums of 16 bits
        rows = random.integers(0, 256, (70, inputs)).astype(np.float32)
        rows[:, 0], rows[:, 1] = 0, 255
        rows[0, 1:] = 255
        layer = PackedLinear(Int8Weights(weights, np.ones(outputs, np.float32)), None, "int8", find_isa(isa))
        np.testing.assert_array_equal(layer(rows), rows.astype(np.int64) @ weights.T.astype(np.int64))


@every_isa
def test_int8_is_the_arithmetic_of_integers_with_a_zero_point(isa: str):
    """Asymmetric codes of rows, one scale for each output, the zero point times the sums of weights taken off."""
    most = load_library().bertkit_most_weight(find_isa(isa))
    weight, bias, rows = _numbers(48, 96), _numbers(48, seed=1), _numbers(20, 96, seed=2)
    rows[3] = 0
    scales = np.abs(weight).max(1) / np.float32(most)
    codes = np.rint(weight / scales[:, None]).astype(np.int64)
    low, high = np.minimum(rows.min(1), 0), np.maximum(rows.max(1), 0)
    steps = np.where(high > low, (high - low) / np.float32(255), np.float32(1))
    zeros = np.rint(-low / steps).astype(np.int64)
    row_codes = np.clip(np.rint(rows * (1 / steps)[:, None]).astype(np.int64) + zeros[:, None], 0, 255)
    sums = row_codes @ codes.T - zeros[:, None] * codes.sum(1)
    expected = sums * (steps[:, None].astype(np.float64) * scales) + bias
    layer = PackedLinear(weight, bias, "int8", find_isa(isa))
    np.testing.assert_allclose(layer(rows), expected, rtol=1e-6, atol=1e-6)


@every_isa
def test_stored_codes_beyond_what_the_cpu_takes_are_narrowed(isa: str):
    weights, scales = np.array([[127, -127, 64], [63, 0, -5]], np.int8), np.array([0.5, 1.0], np.float32)
    layer = PackedLinear(Int8Weights(weights, scales), None, "int8", find_isa(isa))
    exact = weights * scales[:, None]
    np.testing.assert_allclose(layer(np.eye(3, dtype=np.float32)).T, exact, rtol=1e-2, atol=0.5)


@every_isa
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_activations_are_exact_to_float32(isa: str, activation: str):
    x = np.concatenate([np.linspace(-12, 12, 4001), [0.0, -0.0, 1e-30, 100.0, -100.0]]).astype(np.float32)[:, None]
    exact = {
        "gelu": lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))),
        "gelu_new": lambda v: 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))),
        "relu": lambda v: max(v, 0.0),
    }[activation]
    layer = PackedLinear(np.ones((1, 1), np.float32), None, "float32", find_isa(isa), activation)
    expected = np.array([exact(float(value)) for value in x[:, 0]])
    np.testing.assert_allclose(layer(x)[:, 0], expected, rtol=3e-7, atol=6e-7)


@every_isa
def test_a_norm_is_that_of_float64(isa: str):
    for width in (1, 7, 16, 33, 384):
        rows = _numbers(9, width) * 3 + 1
        weight, bias = _numbers(width, seed=1), _numbers(width, seed=2)
        wide = rows.astype(np.float64)
        normed = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-12)
        exact = normed * weight + bias
        if width > 1:
            np.testing.assert_allclose(PackedNorm(weight, bias, 1e-12, find_isa(isa))(rows), exact, atol=2e-6)
        no_bias = PackedNorm(weight, None, 1e-5, find_isa(isa))(rows)
        np.testing.assert_allclose(no_bias, exact - bias if width > 1 else 0 * exact, atol=1e-4)


@needs_native
def test_no_rows_give_no_outputs():
    layer = PackedLinear(_numbers(5, 4), None, "float32", find_isa())
    assert layer(np.empty((0, 4), np.float32)).shape == (0, 5)
