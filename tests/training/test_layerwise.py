from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bertkit.core.batch import PackedBatch
from bertkit.core.errors import InputError
from bertkit.model.config import BertConfig, ModernBertConfig
from bertkit.model.encoder import Encoder
from bertkit.training.layerwise import freeze, joining_epochs, layerwise_schedules
from bertkit.training.optimizers import AdamW, ParameterSchedule, new_optimizer
from bertkit.training.options import OptimizerName, OptimizerOptions

CONFIG = BertConfig(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=8,
)


def _frozen(bert: Encoder) -> set[str]:
    names = {name: parameter.requires_grad for name, parameter in bert.named_parameters()}
    parts = {".".join(name.split(".")[: 2 if name.startswith("layers") else 1]) for name in names}
    frozen = {part for part in parts if not any(grad for name, grad in names.items() if name.startswith(part + "."))}
    half = {part for part in parts - frozen if any(not names[name] for name in names if name.startswith(part + "."))}
    assert not half
    return frozen


@pytest.mark.parametrize(
    ("parts", "frozen"),
    [
        ((), set()),
        (("embeddings",), {"embeddings"}),
        (("layers:1",), {"layers.1"}),
        (("layers:0-1",), {"layers.0", "layers.1"}),
        (("embeddings, layers:0-0", "layers:2"), {"embeddings", "layers.0", "layers.2"}),
        (("encoder",), {"embeddings", "layers.0", "layers.1", "layers.2"}),
    ],
)
def test_a_part_is_frozen_whole_and_nothing_else_is(parts: tuple[str, ...], frozen: set[str]):
    bert = Encoder(CONFIG)
    freeze(bert, parts)
    assert _frozen(bert) == frozen


@pytest.mark.parametrize(
    "part", ["layers:3", "layers:0-3", "layers:2-1", "layers", "layers:a", "pooler", "", "embedding"]
)
def test_what_the_model_does_not_have_is_refused(part: str):
    with pytest.raises(InputError, match="freeze"):
        freeze(Encoder(CONFIG), (part,))


def test_frozen_weights_get_no_gradient_and_do_not_change():
    bert = Encoder(CONFIG)
    freeze(bert, ("embeddings", "layers:0-1"))
    before = {name: tensor.clone() for name, tensor in bert.state_dict().items()}
    optimizer = AdamW(bert.named_parameters(), OptimizerOptions(learning_rate=0.1, weight_decay=0.1))
    batch = PackedBatch.from_arrays(np.array([1, 2, 3, 4, 5]), np.zeros(5, int), np.array([3, 2]))
    bert(batch).pooler_output.square().sum().backward()
    for name, parameter in bert.named_parameters():
        is_frozen = name.startswith(("embeddings", "layers.0", "layers.1"))
        assert (parameter.grad is None) == is_frozen, name
    optimizer.update(0.1, optimizer.gradient_norm())
    for name, tensor in bert.state_dict().items():
        is_frozen = name.startswith(("embeddings", "layers.0", "layers.1"))
        assert torch.equal(tensor, before[name]) == is_frozen, name


def test_a_part_joins_an_epoch_where_there_are_enough():
    assert joining_epochs(3, 4) == [1, 2, 3]
    assert joining_epochs(3, 9) == [1, 2, 3]
    assert joining_epochs(13, 3) == [1] * 7 + [2] * 6


@given(parts=st.integers(1, 50), epochs=st.integers(2, 60))
def test_parts_join_from_the_top_down_and_all_learn_in_the_last_epoch(parts: int, epochs: int):
    joining = joining_epochs(parts, epochs)
    assert len(joining) == parts
    assert joining[0] == 1
    assert joining[-1] <= epochs - 1
    assert all(0 <= later - sooner <= 1 for sooner, later in pairwise(joining))


def test_rates_fall_from_the_head_to_the_embeddings():
    module = nn.ModuleDict({"bert": Encoder(CONFIG), "head": nn.Linear(8, 2)})
    schedules = layerwise_schedules(module, module["bert"], decay=0.5)
    factors = {name: schedules.get(name, ParameterSchedule()).rate_factor for name, _ in module.named_parameters()}
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
    bert = Encoder(ModernBertConfig(**sizes, intermediate_size=12))
    schedules = layerwise_schedules(bert, bert, decay=0.5, first_steps=[3, 2, 1, 0])
    assert schedules["final_norm.weight"] == ParameterSchedule(rate_factor=0.5, first_step=3)
    top = [name for name, _ in bert.named_parameters() if name.startswith("layers.2.")]
    assert {schedules[name] for name in top} == {schedules["final_norm.weight"]}


def _learn(optimizer_name: OptimizerName, rate: float, schedule: ParameterSchedule, idle: int = 0) -> torch.Tensor:
    """A matrix after four gradients, which follow on `idle` steps without one."""
    parameter = nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4).clone())
    options = OptimizerOptions(optimizer=optimizer_name, bias_correction=True, weight_decay=0.1)
    optimizer = new_optimizer([("matrix", parameter)], options, {"matrix": schedule})
    for _ in range(idle):
        optimizer.update(rate, optimizer.gradient_norm())
    for step in range(4):
        parameter.grad = torch.randn(3, 4, generator=torch.Generator().manual_seed(step))
        optimizer.update(rate, optimizer.gradient_norm())
    return parameter.detach()


@pytest.mark.parametrize("name", ["adamw", "lamb", "stable-adamw"])
def test_a_factor_is_a_lower_rate_of_the_gradient_and_of_the_decay(name: OptimizerName):
    paced = _learn(name, 0.1, ParameterSchedule(rate_factor=0.5))
    assert torch.equal(paced, _learn(name, 0.05, ParameterSchedule()))
    assert not torch.allclose(paced, _learn(name, 0.1, ParameterSchedule()))


@pytest.mark.parametrize("name", ["adamw", "lamb", "stable-adamw"])
def test_moments_of_what_joins_later_are_corrected_from_its_own_first_update(name: OptimizerName):
    late = _learn(name, 0.1, ParameterSchedule(first_step=3), idle=3)
    assert torch.equal(late, _learn(name, 0.1, ParameterSchedule()))
    assert not torch.allclose(late, _learn(name, 0.1, ParameterSchedule(), idle=3))
