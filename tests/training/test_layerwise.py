import pytest
import torch
from torch import nn

from bertkit.model.bert import BertModel
from bertkit.model.config import BertConfig
from bertkit.model.modern_config import ModernBertConfig
from bertkit.training.layer_paces import layer_paces
from bertkit.training.optimizers import new_optimizer
from bertkit.training.options import OptimizerName, OptimizerOptions
from bertkit.training.pace import Pace

CONFIG = BertConfig(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=8,
)


def test_rates_fall_from_the_head_to_the_embeddings():
    module = nn.ModuleDict({"bert": BertModel(CONFIG), "head": nn.Linear(8, 2)})
    paces = layer_paces(module, module["bert"], decay=0.5)
    factors = {name: paces.get(name, Pace()).rate_factor for name, _ in module.named_parameters()}
    by_part = {
        "head.": 1.0,
        "bert.pooler.": 1.0,
        "bert.layers.2.": 0.5,
        "bert.layers.1.": 0.25,
        "bert.layers.0.": 0.125,
        "bert.embeddings.": 0.0625,
    }
    for name, factor in factors.items():
        assert factor == next(wanted for part, wanted in by_part.items() if name.startswith(part)), name


def test_the_norm_behind_the_layers_of_modernbert_learns_with_the_last_one():
    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2}
    bert = BertModel(ModernBertConfig(**sizes, intermediate_size=12))
    paces = layer_paces(bert, bert, decay=0.5, first_steps=[3, 2, 1, 0])
    assert paces["final_norm.weight"] == Pace(rate_factor=0.5, first_step=3)
    top = [name for name, _ in bert.named_parameters() if name.startswith("layers.2.")]
    assert {paces[name] for name in top} == {paces["final_norm.weight"]}


def _learn(optimizer_name: OptimizerName, rate: float, pace: Pace, idle: int = 0) -> torch.Tensor:
    """A matrix after four gradients, which follow on `idle` steps without one."""
    parameter = nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4).clone())
    options = OptimizerOptions(optimizer=optimizer_name, bias_correction=True, weight_decay=0.1)
    optimizer = new_optimizer([("matrix", parameter)], options, {"matrix": pace})
    for _ in range(idle):
        optimizer.step(rate)
    for step in range(4):
        parameter.grad = torch.randn(3, 4, generator=torch.Generator().manual_seed(step))
        optimizer.step(rate)
    return parameter.detach()


@pytest.mark.parametrize("name", ["adamw", "lamb", "stable-adamw"])
def test_a_factor_is_a_lower_rate_of_the_gradient_and_of_the_decay(name: OptimizerName):
    paced = _learn(name, 0.1, Pace(rate_factor=0.5))
    assert torch.equal(paced, _learn(name, 0.05, Pace()))
    assert not torch.allclose(paced, _learn(name, 0.1, Pace()))


@pytest.mark.parametrize("name", ["adamw", "lamb", "stable-adamw"])
def test_moments_of_what_joins_later_are_corrected_from_its_own_first_update(name: OptimizerName):
    late = _learn(name, 0.1, Pace(first_step=3), idle=3)
    assert torch.equal(late, _learn(name, 0.1, Pace()))
    assert not torch.allclose(late, _learn(name, 0.1, Pace(), idle=3))
