import pytest
import torch

from bertkit.model.presets import MODERN_PRESETS, PRESETS
from bertkit.training.flops import training_flops


def _products(first_rows: int, first: int, rest_rows: int, rest: int, pairs: int, width: int) -> float:
    """Forward and backward: six operations a weight and row, and a query with its key and value for every pair."""
    return 6 * (first_rows * first + rest_rows * rest + pairs * 2 * width)


def test_bert_counts_its_matrices_all_pairs_of_a_sequence_and_what_is_read_of_the_last_layer():
    config, lengths = PRESETS["tiny"], [5, 200]
    bounds = torch.tensor([0, 5, 205], dtype=torch.int32)
    pairs = sum(length**2 for length in lengths) * config.num_hidden_layers
    first, rest = 3 * 128 * 128, 128 * 128 + 2 * 128 * 512
    heads = 6 * (2 * 128 * 128 + 31 * (128 * 128 + 128 * config.vocab_size))
    masked = _products(2 * 205, first, 205 + 33, rest, pairs, 128) + heads
    assert training_flops(config, bounds, masked_positions=31, last_rows=33) == pytest.approx(masked)
    all_tokens = _products(2 * 205, first, 2 * 205, rest, pairs, 128) + 6 * 2 * 128 * 128
    assert training_flops(config, bounds) == pytest.approx(all_tokens)


def test_modernbert_counts_a_gate_and_the_pairs_inside_its_windows():
    config, lengths = MODERN_PRESETS["tiny"], [5, 64, 65, 200]
    bounds = torch.tensor([0, 5, 69, 134, 334], dtype=torch.int32)
    pairs, depths = 0, config.num_hidden_layers
    for depth in range(depths):
        reach = 64 if depth % 3 else 1000
        pairs += sum(abs(a - b) <= reach for length in lengths for a in range(length) for b in range(length))
    first, rest = 3 * 128 * 128, 128 * 128 + 3 * 128 * config.intermediate_size
    layers = _products(depths * 334, first, (depths - 1) * 334 + 31, rest, pairs, 128)
    heads = 6 * 31 * (128 * 128 + 128 * config.vocab_size)
    assert training_flops(config, bounds, masked_positions=31, last_rows=31) == pytest.approx(layers + heads)
