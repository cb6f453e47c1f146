import torch

from bertkit.model.bert import BertModel
from bertkit.model.config import BertConfig
from bertkit.model.initialization import initialize, set_sinusoidal_positions
from bertkit.model.pretraining import PretrainingModel

CONFIG = BertConfig(vocab_size=500, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128)


def test_matrices_are_truncated_normal_biases_zero_and_norms_one():
    model = BertModel(CONFIG)
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


def test_a_shift_of_sinusoidal_positions_is_one_linear_map_for_all():
    table = torch.empty(100, 64)
    set_sinusoidal_positions(table, 0.05)
    assert abs(float(table.square().mean().sqrt()) - 0.05) < 1e-4
    sine, cosine = table[:, 0::2], table[:, 1::2]
    step = torch.atan2(sine[1], cosine[1])
    torch.testing.assert_close(sine[1:], sine[:-1] * step.cos() + cosine[:-1] * step.sin(), rtol=0, atol=1e-6)
    torch.testing.assert_close(cosine[1:], cosine[:-1] * step.cos() - sine[:-1] * step.sin(), rtol=0, atol=1e-6)
    assert len(step.unique()) == 32
