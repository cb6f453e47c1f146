import pytest
import torch
from torch import nn

from bertkit.training.adamw import AdamW
from bertkit.training.options import OptimizerOptions
from bertkit.training.schedule import learning_rate


def _parameters() -> list[tuple[str, nn.Parameter]]:
    torch.manual_seed(0)
    return [("matrix", nn.Parameter(torch.randn(5, 4))), ("vector", nn.Parameter(torch.randn(4)))]


def _set_gradients(parameters: list[tuple[str, nn.Parameter]], step: int, scale: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(step)
    for _, parameter in parameters:
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator)


def test_frozen_parameters_are_left_alone():
    parameters = _parameters()
    parameters[0][1].requires_grad_(False)
    before = parameters[0][1].clone()
    optimizer = AdamW(parameters, OptimizerOptions())
    parameters[1][1].grad = torch.ones(4)
    optimizer.step(0.1)
    assert torch.equal(parameters[0][1], before)
    assert "first.matrix" not in optimizer.state()


def test_the_rate_rises_from_zero_and_steps_down_where_warm_up_ends():
    options = OptimizerOptions(learning_rate=1.0, warmup_share=0.1)
    rates = [learning_rate(step, 100, options) for step in range(101)]
    assert rates[0] == 0.0
    assert rates[9] == pytest.approx(0.9)
    assert rates[10] == pytest.approx(0.9)
    assert rates[50] == pytest.approx(0.5)
    assert rates[100] == 0.0
