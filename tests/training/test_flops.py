import pytest
import torch

from bertkit.model.presets import MODERN_PRESETS, PRESETS
from bertkit.training.flops import training_flops


def _products(layers: int, width: int, matrices: int, tokens: int, pairs: int) -> float:
    """Forward and backward: six operations a weight and token, and a query with its key and value for every pair."""
    return 6 * (tokens * layers * matrices + pairs * 2 * width)


def test_bert_counts_its_matrices_and_all_pairs_of_a_sequence():
    config, lengths = PRESETS["tiny"], [5, 200]
    bounds = torch.tensor([0, 5, 205], dtype=torch.int32)
    pairs = sum(length**2 for length in lengths) * config.num_hidden_layers
    layers = _products(config.num_hidden_layers, 128, 4 * 128 * 128 + 2 * 128 * 512, 205, pairs)
    heads = 6 * (2 * 128 * 128 + 31 * (128 * 128 + 128 * config.vocab_size))
    assert training_flops(config, bounds, 31) == pytest.approx(layers + heads)


def test_modernbert_counts_a_gate_and_the_pairs_inside_its_windows():
    config, lengths = MODERN_PRESETS["tiny"], [5, 64, 65, 200]
    bounds = torch.tensor([0, 5, 69, 134, 334], dtype=torch.int32)
    pairs = 0
    for depth in range(config.num_hidden_layers):
        reach = 64 if depth % 3 else 1000
        pairs += sum(abs(a - b) <= reach for length in lengths for a in range(length) for b in range(length))
    matrices = 4 * 128 * 128 + 3 * 128 * config.intermediate_size
    layers = _products(config.num_hidden_layers, 128, matrices, 334, pairs)
    heads = 6 * 31 * (128 * 128 + 128 * config.vocab_size)
    assert training_flops(config, bounds, 31) == pytest.approx(layers + heads)
