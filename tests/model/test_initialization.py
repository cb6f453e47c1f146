from dataclasses import replace

import numpy as np
import pytest
import torch

from bertkit.core.batch import PackedBatch
from bertkit.core.errors import InputError
from bertkit.model.config import BertConfig
from bertkit.model.encoder import Encoder
from bertkit.model.initialization import (
    initialize,
    position_dimensions,
    start_with_frequencies,
    start_with_neighbours,
    start_with_word_vectors,
)
from bertkit.model.pretraining import PretrainingModel

CONFIG = BertConfig(vocab_size=500, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128)


def test_matrices_are_truncated_normal_biases_zero_and_norms_one():
    model = Encoder(CONFIG)
    initialize(model, 0.02, seed=0)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and parameter.numel() > 1000:
            assert float(parameter.abs().max()) <= 0.04
            # The deviation of a normal cut at two deviations is 0.8796 of the whole one's.
            assert abs(float(parameter.std()) / (0.02 * 0.8796) - 1) < 0.05, name
        elif parameter.ndim == 1:
            assert set(parameter.tolist()) == ({1.0} if "norm.weight" in name else {0.0}), name


def test_the_seed_decides_and_a_further_head_changes_nothing():
    models = [PretrainingModel(CONFIG), PretrainingModel(CONFIG, next_sentence=False), PretrainingModel(CONFIG)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        initialize(model, 0.02, seed)
    weights = [model.masked_lm.dense.weight for model in models]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def first_layer_probabilities(model: Encoder, length: int) -> torch.Tensor:
    """Attention (A, L, L) of the first layer on random words."""
    ids = np.random.default_rng(0).integers(1, model.config.vocab_size, length)
    hidden = model.embeddings(PackedBatch.from_arrays(ids, np.zeros_like(ids), np.array([length])))
    heads, size = model.config.num_attention_heads, model.config.head_size
    projected = model.layers[0].attention.query_key_value(hidden).view(length, 3, heads, size)
    query, key, _ = projected.permute(1, 2, 0, 3)
    return (query @ key.transpose(1, 2) / size**0.5).softmax(-1).detach()


def test_heads_that_start_with_neighbours_find_them_and_random_heads_do_not():
    config = replace(CONFIG, hidden_size=256, num_attention_heads=4)
    model = Encoder(config)
    initialize(model, config.initializer_range, seed=0)
    before = first_layer_probabilities(model, 60)
    start_with_neighbours(model, config.initializer_range)
    after = first_layer_probabilities(model, 60)
    for head, shift in enumerate((-1, 1, -2, 2)):
        positions = torch.arange(2, 58)
        found = after[head].argmax(-1)[positions] == positions + shift
        assert found.float().mean() > 0.9
        assert after[head, positions, positions + shift].mean() > 10 * before[head, positions, positions + shift].mean()


def test_words_and_positions_weigh_alike_where_heads_start_with_neighbours():
    model = Encoder(CONFIG)
    initialize(model, 0.02, seed=0)
    words = float(model.embeddings.word_embeddings.weight.square().sum(1).mean())
    start_with_neighbours(model, 0.02)
    positions = model.embeddings.position_embeddings.weight.square().sum(1)
    torch.testing.assert_close(positions, torch.full_like(positions, 64 * 0.02**2))
    assert 1 <= float(positions[0]) / words < 1.6


def test_a_bias_from_frequencies_starts_at_the_unigram_entropy():
    counts = torch.tensor([0, 10, 200, 5000, 90, 30000])
    bias = torch.zeros(6)
    start_with_frequencies(bias, counts)
    shares = (counts + 1) / (counts + 1).sum()
    entropy = -(shares * shares.log()).sum()
    assert float(-(shares * bias.log_softmax(0)).sum()) == pytest.approx(float(entropy), abs=1e-6)


def test_a_model_without_room_for_positions_is_told_so():
    config = BertConfig(vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    with pytest.raises(InputError, match="paper's initial weights"):
        start_with_neighbours(Encoder(config), 0.02)


def test_word_vectors_stand_behind_the_positions_and_keep_the_rows_length():
    model = Encoder(CONFIG)
    initialize(model, 0.02, seed=0)
    start_with_neighbours(model, 0.02)
    before = model.embeddings.word_embeddings.weight.detach().clone()
    vectors = torch.nn.functional.normalize(torch.randn(CONFIG.vocab_size, 48), dim=1)
    vectors[7] = 0
    start_with_word_vectors(model, vectors)
    after = model.embeddings.word_embeddings.weight.detach()
    assert torch.equal(after[7], before[7])
    assert not after[:, : position_dimensions(CONFIG)].any()
    likeness = torch.nn.functional.normalize(after, dim=1) @ torch.nn.functional.normalize(after, dim=1).T
    torch.testing.assert_close(likeness[8:, 8:], (vectors @ vectors.T)[8:, 8:], rtol=0, atol=1e-5)
    assert float(after.norm(dim=1).mean()) == pytest.approx(float(before.norm(dim=1).mean()), rel=1e-3)
